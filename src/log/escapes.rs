//! Escape sequences of terminals (ECMA-48, 5.4 and 8.3): colours and the like, which no reader
//! sees and no search looks at.
//!
//! They are left out of a buffer where they stand, as it is filled. A sequence may be cut anywhere
//! between two fillings; it never goes beyond its line.

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

/// What was left out of a buffer, and so where in the log each byte of it stands.
pub(super) struct Escapes {
    state: State,
    /// Where in the log the buffer begins, with what is left out at its beginning.
    start: u64,
    /// In their order: one for each place of the buffer where something is left out.
    cuts: Vec<Cut>,
}

#[derive(Clone, Copy)]
struct Cut {
    /// Before this byte of the buffer.
    at: usize,
    /// So many bytes of the log, with those of all cuts before it.
    left_out: u64,
}

/// Where in a sequence the next byte stands.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Text,
    /// After ESC.
    Begun,
    /// After `ESC [`, until its final byte.
    Control,
    /// After `ESC ]` and its like, until BEL or `ESC \`.
    String,
    /// After an ESC in a string.
    StringEnd,
    /// After `ESC (` and its like: one more.
    Charset,
}

impl Escapes {
    /// For a buffer that begins here in the log, between two sequences.
    pub fn starting_at(start: u64) -> Self {
        Self {
            state: State::Text,
            start,
            cuts: Vec::new(),
        }
    }

    /// Takes the sequences out of what follows `fresh` in the buffer. Where that ends then.
    pub fn leave_out(&mut self, buffer: &mut [u8], fresh: usize) -> usize {
        let (mut kept, mut at) = (fresh, fresh);
        while at < buffer.len() {
            if self.state != State::Text {
                let length = self.pass(&buffer[at..]);
                self.cut(kept, length);
                at += length;
                continue;
            }
            let escape = memchr::memchr(ESC, &buffer[at..]);
            let end = escape.map_or(buffer.len(), |length| at + length);
            if kept < at {
                buffer.copy_within(at..end, kept);
            }
            kept += end - at;
            at = end;
            if escape.is_some() {
                self.state = State::Begun;
                self.cut(kept, 1);
                at += 1;
            }
        }
        kept
    }

    /// How many of these bytes belong to the sequence.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while self.state != State::Text
            && let Some(&byte) = bytes.get(at)
        {
            let (state, belongs) = match (self.state, byte) {
                (_, b'\n') => (State::Text, false),
                (State::Begun, b'[') => (State::Control, true),
                (State::Begun, b']' | b'P' | b'X' | b'^' | b'_') => (State::String, true),
                (State::Begun, b'(' | b')' | b'*' | b'+' | b'#' | b'%') => (State::Charset, true),
                (State::Control, 0x20..=0x3f) => (State::Control, true),
                (State::Control, 0x40..=0x7e) => (State::Text, true),
                (State::Begun | State::Charset, 0x20..=0x7e) => (State::Text, true),
                (State::String, BEL) | (State::StringEnd, b'\\') => (State::Text, true),
                (State::String, ESC) => (State::StringEnd, true),
                (State::String, _) => (State::String, true),
                // That ESC began another sequence.
                (State::StringEnd, _) => (State::Begun, false),
                // What cannot stand in a sequence ends it.
                _ => (State::Text, false),
            };
            self.state = state;
            at += usize::from(belongs);
        }
        at
    }

    fn cut(&mut self, at: usize, length: usize) {
        let before = self.cuts.last().map_or(0, |cut| cut.left_out);
        let left_out = before + length as u64;
        match self.cuts.last_mut() {
            Some(cut) if cut.at == at => cut.left_out = left_out,
            _ if length > 0 => self.cuts.push(Cut { at, left_out }),
            _ => {}
        }
    }

    /// Where in the log this byte of the buffer stands.
    pub fn offset_of(&self, at: usize) -> u64 {
        let cuts = self.cuts.partition_point(|cut| cut.at <= at);
        self.start + at as u64 + self.left_out_by(cuts)
    }

    /// So many bytes are no longer in the buffer, which begins with what followed them.
    pub fn move_on(&mut self, length: usize) {
        let cuts = self.cuts.partition_point(|cut| cut.at < length);
        let left_out = self.left_out_by(cuts);
        self.start += length as u64 + left_out;
        self.cuts.drain(..cuts);
        for cut in &mut self.cuts {
            cut.at -= length;
            cut.left_out -= left_out;
        }
    }

    fn left_out_by(&self, cuts: usize) -> u64 {
        cuts.checked_sub(1)
            .map_or(0, |last| self.cuts[last].left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left, and where in the log each byte of it stands.
    fn shown(pieces: &[&[u8]]) -> (String, Vec<u64>) {
        let mut escapes = Escapes::starting_at(0);
        let mut buffer = Vec::new();
        for piece in pieces {
            let fresh = buffer.len();
            buffer.extend_from_slice(piece);
            let end = escapes.leave_out(&mut buffer, fresh);
            buffer.truncate(end);
        }
        let offsets = (0..buffer.len()).map(|at| escapes.offset_of(at)).collect();
        (String::from_utf8(buffer).unwrap(), offsets)
    }

    #[test]
    fn sequences_are_left_out_wherever_they_are_cut() {
        // The page leaves out the same.
        let lines: Vec<(String, String)> =
            serde_json::from_str(include_str!("tests/escapes.json")).unwrap();
        let end_of_line = [
            ("a\x1b[3\nb", "a\nb"),
            ("a\x1b]0;title\nb", "a\nb"),
            ("a\x1b\nb\x1b(\nc", "a\nb\nc"),
        ];
        let end_of_line = end_of_line.map(|(log, text)| (log.to_owned(), text.to_owned()));
        for (log, text) in lines.into_iter().chain(end_of_line) {
            let (whole, offsets) = shown(&[log.as_bytes()]);
            assert_eq!(whole, text, "{log:?}");
            for (byte, &offset) in whole.bytes().zip(&offsets) {
                assert_eq!(log.as_bytes()[offset as usize], byte, "{log:?}");
            }
            let bytes: Vec<&[u8]> = log.as_bytes().chunks(1).collect();
            assert_eq!(shown(&bytes), (whole, offsets), "{log:?}");
        }
    }

    #[test]
    fn places_stay_right_when_the_buffer_moves_on() {
        let log = b"a\x1b[1mbc\x1b[m\nd\x1b[1me\x1b[mf";
        let mut escapes = Escapes::starting_at(100);
        let mut buffer = log.to_vec();
        let end = escapes.leave_out(&mut buffer, 0);
        assert_eq!(&buffer[..end], b"abc\ndef");
        let offsets: Vec<u64> = (0..=end).map(|at| escapes.offset_of(at)).collect();
        for length in [1, 3, 1] {
            escapes.move_on(length);
            buffer.drain(..length);
        }
        assert_eq!(
            (0..=2).map(|at| escapes.offset_of(at)).collect::<Vec<_>>(),
            offsets[5..]
        );
    }
}
