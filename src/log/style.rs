//! How a terminal would write on from a place in the log: colours and the like (SGR, ECMA-48
//! 8.3.117, and what xterm adds) that were set above it and hold on.

use std::io;

use super::reader::LogReader;

/// How far above a place it is looked for what holds there: from little to much, as far as it
/// takes to find where everything was reset. What was set further above is not seen.
const LOOK_BACK: [u64; 3] = [16 * 1024, 128 * 1024, 1024 * 1024];

/// No program sends a longer one.
const LONGEST: usize = 256;

/// What one parameter sets stands until another sets or unsets the same.
#[derive(Clone, Copy)]
enum Slot {
    Bold,
    Faint,
    Italic,
    Underline,
    Blink,
    Inverse,
    Conceal,
    Strike,
    Foreground,
    Background,
    Overline,
    UnderlineColour,
}

const SLOTS: usize = Slot::UnderlineColour as usize + 1;

/// For each slot the parameters that have set it.
#[derive(Default)]
struct Style([Option<String>; SLOTS]);

impl LogReader {
    /// The parameters that hold at this offset, as they stand between `ESC [` and `m` after a
    /// reset: `1;38;5;208`. Empty where nothing holds.
    pub fn style_at(&self, offset: u64) -> io::Result<String> {
        let mut style = Style::default();
        for length in LOOK_BACK {
            let start = offset.saturating_sub(length);
            let before = self.read_at(start, (offset - start) as usize)?;
            style = Style::default();
            if style.replay(&before) || start == 0 {
                break;
            }
        }
        Ok(style.to_string())
    }
}

impl Style {
    /// Whether everything was reset on the way.
    fn replay(&mut self, bytes: &[u8]) -> bool {
        let mut was_reset = false;
        for begin in memchr::memmem::find_iter(bytes, "\x1b[") {
            let rest = &bytes[begin + 2..];
            let length = rest
                .iter()
                .take(LONGEST)
                .position(|byte| !is_parameter(*byte));
            if let Some(length) = length
                && rest[length] == b'm'
                && let Ok(parameters) = std::str::from_utf8(&rest[..length])
            {
                was_reset |= self.apply(parameters);
            }
        }
        was_reset
    }

    /// Whether everything was reset on the way.
    fn apply(&mut self, parameters: &str) -> bool {
        let mut was_reset = false;
        let mut rest = parameters.split(';');
        while let Some(parameter) = rest.next() {
            let (code, sub) = parameter.split_once(':').unwrap_or((parameter, ""));
            let code: u16 = match code {
                "" => 0,
                code => code.parse().unwrap_or(u16::MAX),
            };
            let mut set = |slot: Slot| self.0[slot as usize] = Some(parameter.to_owned());
            match code {
                0 => {
                    *self = Self::default();
                    was_reset = true;
                }
                1 => set(Slot::Bold),
                2 => set(Slot::Faint),
                3 => set(Slot::Italic),
                4 if sub == "0" => self.unset(Slot::Underline),
                4 | 21 => set(Slot::Underline),
                5 | 6 => set(Slot::Blink),
                7 => set(Slot::Inverse),
                8 => set(Slot::Conceal),
                9 => set(Slot::Strike),
                22 => {
                    self.unset(Slot::Bold);
                    self.unset(Slot::Faint);
                }
                23 => self.unset(Slot::Italic),
                24 => self.unset(Slot::Underline),
                25 => self.unset(Slot::Blink),
                27 => self.unset(Slot::Inverse),
                28 => self.unset(Slot::Conceal),
                29 => self.unset(Slot::Strike),
                30..=37 | 90..=97 => set(Slot::Foreground),
                39 => self.unset(Slot::Foreground),
                40..=47 | 100..=107 => set(Slot::Background),
                49 => self.unset(Slot::Background),
                53 => set(Slot::Overline),
                55 => self.unset(Slot::Overline),
                38 | 48 | 58 => {
                    let slot = match code {
                        38 => Slot::Foreground,
                        48 => Slot::Background,
                        _ => Slot::UnderlineColour,
                    };
                    self.0[slot as usize] = colour(parameter, &mut rest);
                }
                59 => self.unset(Slot::UnderlineColour),
                _ => {}
            }
        }
        was_reset
    }

    fn unset(&mut self, slot: Slot) {
        self.0[slot as usize] = None;
    }
}

impl std::fmt::Display for Style {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, parameters) in self.0.iter().flatten().enumerate() {
            let between = if at == 0 { "" } else { ";" };
            write!(formatter, "{between}{parameters}")?;
        }
        Ok(())
    }
}

fn is_parameter(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b';' | b':')
}

/// A colour of the palette or of its own, whose parts follow as sub-parameters, or as parameters
/// that are taken here. `None` for one that is cut off.
fn colour<'a>(parameter: &str, rest: &mut impl Iterator<Item = &'a str>) -> Option<String> {
    if parameter.contains(':') {
        return Some(parameter.to_owned());
    }
    let kind = rest.next()?;
    let parts = match kind {
        "5" => 1,
        "2" => 3,
        _ => return None,
    };
    let mut whole = format!("{parameter};{kind}");
    for _ in 0..parts {
        whole.push(';');
        whole.push_str(rest.next()?);
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_and_not_unset_holds() {
        for (log, holds) in [
            ("plain", ""),
            ("\x1b[1;35mbold and magenta", "1;35"),
            ("\x1b[1;35mbold\x1b[22m", "35"),
            ("\x1b[1;2m\x1b[22mboth go", ""),
            ("\x1b[31mred\x1b[32mgreen", "32"),
            ("\x1b[31mred\x1b[mplain", ""),
            ("\x1b[31mred\x1b[0;4munderlined", "4"),
            ("\x1b[91;104m", "91;104"),
            ("\x1b[38;5;208;1mpalette", "1;38;5;208"),
            ("\x1b[48;2;1;2;3;7mown", "7;48;2;1;2;3"),
            ("\x1b[38:2::10:20:30m", "38:2::10:20:30"),
            ("\x1b[4:3m\x1b[58:5:9mcurly", "4:3;58:5:9"),
            ("\x1b[4:3m\x1b[4:0m", ""),
            ("\x1b[31m\x1b[2K\x1b[10;20H\x1b[?25l", "31"),
            ("\x1b[31m\x1b[38;5", "31"),
            ("\x1b[38;5m\x1b[38;9;1m", "1"),
            ("\x1b[99999999999m\x1b[;31m", "31"),
        ] {
            let mut style = Style::default();
            style.replay(log.as_bytes());
            assert_eq!(style.to_string(), holds, "{log:?}");
        }
    }
}
