//! Logs for a terminal: text and colours, and nothing else that a script may tell it to do, such as
//! to set its title, to write to the clipboard or to answer.
//!
//! Sequences are those of ECMA-48 (5.4 and 8.3) and of
//! <https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>. One may be cut anywhere between two
//! pieces of a log; none goes beyond its line.

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

/// Of a sequence of colours: more than any needs.
const LONGEST: usize = 128;

/// What a bad byte becomes: U+FFFD.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Passes on what a terminal is to see of the pieces of a log.
#[derive(Default)]
pub struct Screen {
    state: State,
    /// The bytes of a sequence or a character that has not ended.
    begun: Vec<u8>,
    is_coloured: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Text,
    /// In a character of UTF-8 that lacks so many bytes.
    Character(u8),
    /// After ESC, or an intermediate byte that followed.
    Escape,
    /// After `ESC [`, until its final byte.
    Control,
    /// After `ESC ]` and its like, until BEL or `ESC \`.
    String,
    /// After an ESC in a string.
    StringEnd,
}

impl Screen {
    pub fn show(&mut self, log: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(log.len());
        for &byte in log {
            self.take(byte, &mut shown);
        }
        shown
    }

    /// After the last piece: what follows on the terminal has no colours of the log.
    pub fn end(&mut self) -> &'static [u8] {
        match std::mem::take(self).is_coloured {
            true => b"\x1b[0m",
            false => b"",
        }
    }

    fn take(&mut self, byte: u8, shown: &mut Vec<u8>) {
        // Neither is a part of any sequence or character.
        if matches!(byte, b'\n' | b'\r') {
            self.text(byte, shown);
            return;
        }
        match self.state {
            State::Text => self.text(byte, shown),
            State::Character(lacking) => self.character(byte, lacking, shown),
            State::Escape => match byte {
                b'[' => self.state = State::Control,
                b']' | b'P' | b'X' | b'^' | b'_' => self.state = State::String,
                ESC | 0x20..=0x2f => {}
                _ => self.state = State::Text,
            },
            State::Control => self.control(byte, shown),
            State::String | State::StringEnd => {
                self.state = match (self.state, byte) {
                    (_, BEL) | (State::StringEnd, b'\\') => State::Text,
                    (_, ESC) => State::StringEnd,
                    _ => State::String,
                };
            }
        }
    }

    fn text(&mut self, byte: u8, shown: &mut Vec<u8>) {
        if let State::Character(_) = self.state {
            shown.extend_from_slice(REPLACEMENT);
        }
        self.state = State::Text;
        self.begun.clear();
        match byte {
            ESC => self.state = State::Escape,
            b'\n' | b'\r' | b'\t' | b' '..=b'~' => shown.push(byte),
            0..=0x1f | 0x7f => {}
            0xc2..=0xdf => self.begin(byte, 1),
            0xe0..=0xef => self.begin(byte, 2),
            0xf0..=0xf4 => self.begin(byte, 3),
            // A terminal that does not speak UTF-8 takes some of these for sequences.
            _ => shown.extend_from_slice(REPLACEMENT),
        }
    }

    fn begin(&mut self, byte: u8, lacking: u8) {
        self.begun.push(byte);
        self.state = State::Character(lacking);
    }

    fn character(&mut self, byte: u8, lacking: u8, shown: &mut Vec<u8>) {
        if !matches!(byte, 0x80..=0xbf) {
            self.text(byte, shown);
            return;
        }
        self.begun.push(byte);
        if lacking > 1 {
            self.state = State::Character(lacking - 1);
            return;
        }
        self.state = State::Text;
        let text = std::str::from_utf8(&self.begun).unwrap_or("\u{fffd}");
        // U+0080 to U+009F are control characters, some of which begin sequences.
        if !text.chars().any(char::is_control) {
            shown.extend_from_slice(text.as_bytes());
        }
        self.begun.clear();
    }

    fn control(&mut self, byte: u8, shown: &mut Vec<u8>) {
        match byte {
            ESC => {
                self.begun.clear();
                self.state = State::Escape;
            }
            0x20..=0x3f if self.begun.len() < LONGEST => self.begun.push(byte),
            0x40..=0x7e => {
                let parameters = std::mem::take(&mut self.begun);
                self.state = State::Text;
                let is_plain = |byte: &u8| byte.is_ascii_digit() || b";:".contains(byte);
                if byte == b'm' && parameters.len() < LONGEST && parameters.iter().all(is_plain) {
                    self.is_coloured = !parameters.iter().all(|byte| *byte == b'0');
                    shown.extend_from_slice(b"\x1b[");
                    shown.extend_from_slice(&parameters);
                    shown.push(byte);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(log: &[u8]) -> String {
        String::from_utf8(Screen::default().show(log)).unwrap()
    }

    #[test]
    fn text_and_colours_pass() {
        for text in [
            "a line\n\tanother\r\n",
            "Grüße, 世界 🦀\n",
            "\x1b[31mred\x1b[0m \x1b[1;38;5;208mbold\x1b[m \x1b[4:3mcurly\x1b[0m",
        ] {
            assert_eq!(shown(text.as_bytes()), text);
        }
    }

    #[test]
    fn nothing_else_passes() {
        for hostile in [
            "\x1b]0;title\x07",
            "\x1b]52;c;cm0gLXJmIH4=\x1b\\",
            "\x1b]8;;http://evil.example.org\x1b\\",
            "\x1b[2J",
            "\x1b[1A",
            "\x1b[6n",
            "\x1b[?1049h",
            "\x1b[>4;2m",
            "\x1b[ m",
            "\x1bc",
            "\x1b(0",
            "\x1b#8",
            "\x1bPq\x1b\\",
            "\x1b_x\x1b\\",
            "\u{9b}2J",
            "\x08\x07\x0b\x0c\x0e\x7f\0",
            "\x1b\x1b[2J",
            "\x1b[3\x1b[2J",
        ] {
            let around = shown(format!("a{hostile}b").as_bytes());
            assert!(
                around == "ab" || around == "a2Jb",
                "{hostile:?}: {around:?}"
            );
            assert!(!around.contains('\x1b'), "{hostile:?}");
        }
        assert_eq!(shown(b"a\x9b2Jb\xffc"), "a\u{fffd}2Jb\u{fffd}c");
        assert_eq!(shown(b"\xe2\x82\n"), "\u{fffd}\n");
        let long = format!("\x1b[{}mx", "1;".repeat(100));
        assert_eq!(shown(long.as_bytes()), "x");
    }

    #[test]
    fn an_unfinished_sequence_ends_with_its_line() {
        for unfinished in ["\x1b]0;title", "\x1b[12", "\x1b", "\x1bP"] {
            assert_eq!(shown(format!("{unfinished}\nb").as_bytes()), "\nb");
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        let log = "ü\x1b[31mred 世\x1b]0;title\x07\x1b[0m\u{9b}\x1b[2Jend\n".as_bytes();
        let whole = shown(log);
        for size in 1..log.len() {
            let mut screen = Screen::default();
            let pieces: Vec<u8> = log
                .chunks(size)
                .flat_map(|piece| screen.show(piece))
                .collect();
            assert_eq!(pieces, whole.as_bytes(), "{size}");
        }
    }

    #[test]
    fn colours_end_with_the_log() {
        let mut screen = Screen::default();
        screen.show(b"\x1b[31mred");
        assert_eq!(screen.end(), b"\x1b[0m");
        screen.show(b"\x1b[31mred\x1b[m");
        assert_eq!(screen.end(), b"");
    }
}
