//! What commands print, and how they say that something went wrong.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::terminal::Screen;

/// Why a command could not be carried out: a sentence, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub error: String,
    pub hint: String,
    /// Nobody reads any more what is printed; not worth a word.
    is_closed_pipe: bool,
}

impl Problem {
    pub fn new(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            hint: hint.into(),
            is_closed_pipe: false,
        }
    }
}

impl From<io::Error> for Problem {
    /// Of writing to stdout.
    fn from(error: io::Error) -> Self {
        let is_closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self {
            error: format!("cannot write the output: {error}"),
            hint: String::new(),
            is_closed_pipe,
        }
    }
}

const NOT_CARRIED_OUT: u8 = 2;

/// Tells what went wrong, as the exit code does.
pub fn report(problem: Problem, json: bool) -> ExitCode {
    if problem.is_closed_pipe {
        return ExitCode::SUCCESS;
    }
    let Problem { error, hint, .. } = problem;
    if json {
        say(&serde_json::json!({"error": error, "hint": hint}).to_string());
    } else {
        say(&format!("error: {}", clean(&error)));
        if !hint.is_empty() {
            say(&format!(" hint: {}", clean(&hint)));
        }
    }
    ExitCode::from(NOT_CARRIED_OUT)
}

/// A line for people. Where stderr is closed there is nobody to tell.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Bytes for whoever reads stdout, at once.
pub fn raw(bytes: &[u8]) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(())
}

/// A log's bytes as they come: all of them, but on a terminal only what is safe there.
pub struct LogOutput {
    is_for_stderr: bool,
    screen: Option<Screen>,
}

impl LogOutput {
    pub fn stdout() -> Self {
        Self {
            is_for_stderr: false,
            screen: io::stdout().is_terminal().then(Screen::default),
        }
    }

    pub fn stderr() -> Self {
        Self {
            is_for_stderr: true,
            screen: io::stderr().is_terminal().then(Screen::default),
        }
    }

    pub fn write(&mut self, log: &[u8]) -> Result<(), Problem> {
        match &mut self.screen {
            Some(screen) => {
                let shown = screen.show(log);
                self.pass_on(&shown)
            }
            None => self.pass_on(log),
        }
    }

    pub fn end(mut self) -> Result<(), Problem> {
        let end = self.screen.as_mut().map_or(&b""[..], Screen::end);
        self.pass_on(end)
    }

    fn pass_on(&self, bytes: &[u8]) -> Result<(), Problem> {
        match self.is_for_stderr {
            true => Ok(io::stderr().write_all(bytes)?),
            false => raw(bytes),
        }
    }
}

pub fn line(text: &str) -> Result<(), Problem> {
    raw(format!("{text}\n").as_bytes())
}

/// A value as indented JSON.
pub fn json(value: &serde_json::Value) -> Result<(), Problem> {
    line(&format!("{value:#}"))
}

/// Text from outside without what would move a terminal's cursor or change its colours.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Colours are for terminals, and not where <https://no-color.org> asks for none.
pub fn wants_colour() -> bool {
    stdout_is_terminal() && allows_colour()
}

pub fn stderr_wants_colour() -> bool {
    io::stderr().is_terminal() && allows_colour()
}

fn allows_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    !is_set("NO_COLOR") && !is_dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        assert_eq!(
            clean("a\x1b[31mb\r\n\u{9b}c"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}c"
        );
    }
}
