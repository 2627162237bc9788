//! The job file that the service leaves for the runner, the outcome that the runner leaves for the
//! service, and the frames of a followed log.
//!
//! Pure and shared by both sides, which always come out of one build of the service. The other
//! side is not trusted all the same: the script runs as root in the container and can write to
//! all of these.

use std::fmt;

/// The folder of the volume that the runner lives in; everything below is in it.
pub const FOLDER: &str = "/.autobuilder";
/// The runner's own program.
pub const PROGRAM: &str = "/.autobuilder/runner";
/// The same program once it runs, whatever the script has put in the file's place since.
pub const RUNNING: &str = "/proc/1/exe";
/// What to run; read and removed before the script starts, because it holds secrets.
pub const JOB: &str = "/.autobuilder/job";
/// All the bytes that the script wrote, up to the limit.
pub const SPOOL: &str = "/.autobuilder/spool";
/// Exists from the moment at which bytes are dropped rather than spooled.
pub const LIMIT: &str = "/.autobuilder/limit";
/// The [`Outcome`], there once the script has ended and the spool is whole.
pub const RESULT: &str = "/.autobuilder/result";

/// The most payload that one frame carries.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// A follower with nothing to say sends [`Kind::Alive`] this often, in milliseconds, so that its
/// reader can tell a silent script from a connection that died without a word.
pub const ALIVE_EVERY_MS: u64 = 10_000;

const JOB_VERSION: &str = "autobuilder-job-1";

/// What the runner is to run.
#[derive(Clone, PartialEq, Eq)]
pub struct Job {
    /// The script's working folder.
    pub folder: String,
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// Added to the container's own environment. Secrets travel here and nowhere else.
    pub environment: Vec<(String, String)>,
    /// The spool takes this many bytes; the rest is counted and dropped.
    pub max_log: u64,
}

/// Names without values: values may be secrets.
impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("Job")
            .field("folder", &self.folder)
            .field("arguments", &self.arguments)
            .field("environment", &names)
            .field("max_log", &self.max_log)
            .finish()
    }
}

/// Why bytes are not what they should be, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl Job {
    /// The job as a file: fields that end with a NUL, which neither an argument nor a variable of
    /// Linux can hold.
    ///
    /// # Errors
    /// A field that could not reach a program as it is: one with a NUL, a variable's name with `=`.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut fields = vec![
            JOB_VERSION.to_owned(),
            self.max_log.to_string(),
            self.folder.clone(),
            self.arguments.len().to_string(),
        ];
        fields.extend(self.arguments.iter().cloned());
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains('=') {
                return Err(Malformed("a variable's name is empty or holds ="));
            }
            fields.push(format!("{name}={value}"));
        }
        if self.arguments.is_empty() {
            return Err(Malformed("a job without a program"));
        }
        let mut bytes = Vec::new();
        for field in fields {
            if field.contains('\0') {
                return Err(Malformed("an argument or variable holds a NUL"));
            }
            bytes.extend_from_slice(field.as_bytes());
            bytes.push(0);
        }
        Ok(bytes)
    }

    /// # Errors
    /// Anything that [`Job::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("the job is not UTF-8"))?;
        let text = text
            .strip_suffix('\0')
            .ok_or(Malformed("the job is cut off"))?;
        let mut fields = text.split('\0');
        let mut field = || fields.next().ok_or(Malformed("the job is cut off"));
        if field()? != JOB_VERSION {
            return Err(Malformed("the job is of another version"));
        }
        let max_log = field()?
            .parse()
            .map_err(|_| Malformed("the job's limit is no number"))?;
        let folder = field()?.to_owned();
        let count: usize = field()?
            .parse()
            .map_err(|_| Malformed("the job's count is no number"))?;
        let mut arguments = Vec::new();
        for _ in 0..count {
            arguments.push(field()?.to_owned());
        }
        if arguments.is_empty() {
            return Err(Malformed("a job without a program"));
        }
        let mut environment = Vec::new();
        for variable in fields {
            let (name, value) = variable
                .split_once('=')
                .ok_or(Malformed("a variable without a value"))?;
            environment.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self {
            folder,
            arguments,
            environment,
            max_log,
        })
    }
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
        }
    }
}

/// What the runner knows when the script has ended. Times are milliseconds since 1970 by the
/// container's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub exit: Exit,
    pub started: u64,
    pub ended: u64,
    /// The spool's length in bytes.
    pub spool: u64,
    /// Bytes that were not spooled, for the limit or an error.
    pub dropped: u64,
    /// The error number (`ENOSPC` and the like) at which the spool could not be written any more.
    pub spool_error: Option<i32>,
    /// Processes that the kernel killed because the container's memory was at its limit.
    pub memory_kills: u64,
    /// How often a process could not be made because the container's pids were at their limit.
    pub pids_hits: u64,
}

impl Outcome {
    /// One `name value` a line.
    pub fn encode(&self) -> String {
        let exit = match self.exit {
            Exit::Code(code) => format!("code {code}"),
            Exit::Signal(signal) => format!("signal {signal}"),
        };
        let spool_error = self
            .spool_error
            .map(|error| format!("spool_error {error}\n"));
        format!(
            "{exit}\nstarted {}\nended {}\nspool {}\ndropped {}\n{}memory_kills {}\npids_hits {}\n",
            self.started,
            self.ended,
            self.spool,
            self.dropped,
            spool_error.unwrap_or_default(),
            self.memory_kills,
            self.pids_hits,
        )
    }

    /// Unknown names are passed over, missing numbers are 0.
    ///
    /// # Errors
    /// Text without an exit, or with a value that is no number.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        const NO_NUMBER: Malformed = Malformed("the outcome holds a value that is no number");
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("the outcome is not UTF-8"))?;
        let mut exit = None;
        let mut outcome = Self {
            exit: Exit::Code(0),
            started: 0,
            ended: 0,
            spool: 0,
            dropped: 0,
            spool_error: None,
            memory_kills: 0,
            pids_hits: 0,
        };
        for line in text.lines() {
            let Some((name, value)) = line.split_once(' ') else {
                continue;
            };
            let number = || value.parse::<u64>().map_err(|_| NO_NUMBER);
            let small = || value.parse::<i32>().map_err(|_| NO_NUMBER);
            match name {
                "code" => exit = Some(Exit::Code(small()?)),
                "signal" => exit = Some(Exit::Signal(small()?)),
                "started" => outcome.started = number()?,
                "ended" => outcome.ended = number()?,
                "spool" => outcome.spool = number()?,
                "dropped" => outcome.dropped = number()?,
                "spool_error" => outcome.spool_error = Some(small()?),
                "memory_kills" => outcome.memory_kills = number()?,
                "pids_hits" => outcome.pids_hits = number()?,
                _ => {}
            }
        }
        outcome.exit = exit.ok_or(Malformed("the outcome does not say how the script ended"))?;
        Ok(outcome)
    }
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of the spool.
    Chunk = 1,
    /// Nothing; the spool is full, and what the script writes from now on is dropped.
    Limit = 2,
    /// An encoded [`Outcome`]; the last frame.
    End = 3,
    /// Nothing; the follower lives.
    Alive = 4,
}

/// The beginning of a frame; `payload` bytes follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    pub payload: usize,
    /// When the follower made the frame, in milliseconds since 1970 by the container's clock.
    pub time: u64,
    /// Where in the spool the frame stands.
    pub offset: u64,
}

impl Head {
    pub const LENGTH: usize = 24;

    pub fn encode(&self) -> [u8; Self::LENGTH] {
        debug_assert!(self.payload <= MAX_PAYLOAD);
        let mut bytes = [0; Self::LENGTH];
        bytes[0] = self.kind as u8;
        bytes[4..8].copy_from_slice(&(self.payload as u32).to_be_bytes());
        bytes[8..16].copy_from_slice(&self.time.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    /// # Errors
    /// An unknown kind, a payload over [`MAX_PAYLOAD`].
    pub fn decode(bytes: &[u8; Self::LENGTH]) -> Result<Self, Malformed> {
        let kind = match bytes[..4] {
            [1, 0, 0, 0] => Kind::Chunk,
            [2, 0, 0, 0] => Kind::Limit,
            [3, 0, 0, 0] => Kind::End,
            [4, 0, 0, 0] => Kind::Alive,
            _ => return Err(Malformed("a frame of unknown kind")),
        };
        let payload = u32::from_be_bytes(bytes[4..8].try_into().expect("four bytes")) as usize;
        if payload > MAX_PAYLOAD {
            return Err(Malformed("a frame that is too long"));
        }
        let number =
            |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Ok(Self {
            kind,
            payload,
            time: number(8),
            offset: number(16),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job {
            folder: "/app".to_owned(),
            arguments: vec![
                "./autobuild/build.sh".to_owned(),
                String::new(),
                "two\nlines".to_owned(),
            ],
            environment: vec![
                ("KEY".to_owned(), "a=b\nc".to_owned()),
                ("EMPTY".to_owned(), String::new()),
            ],
            max_log: 1 << 40,
        }
    }

    #[test]
    fn a_job_survives_its_file() {
        let bytes = job().encode().unwrap();
        assert_eq!(Job::decode(&bytes).unwrap(), job());

        let without_environment = Job {
            environment: Vec::new(),
            ..job()
        };
        let bytes = without_environment.encode().unwrap();
        assert_eq!(Job::decode(&bytes).unwrap(), without_environment);
    }

    #[test]
    fn a_job_that_no_program_could_be_given_is_refused() {
        let nul = Job {
            folder: "/a\0b".to_owned(),
            ..job()
        };
        assert_eq!(
            nul.encode(),
            Err(Malformed("an argument or variable holds a NUL"))
        );
        for name in ["", "A=B"] {
            let named = Job {
                environment: vec![(name.to_owned(), String::new())],
                ..job()
            };
            assert!(named.encode().is_err(), "{name:?}");
        }
        assert!(
            Job {
                arguments: Vec::new(),
                ..job()
            }
            .encode()
            .is_err()
        );
    }

    #[test]
    fn a_job_that_is_cut_off_anywhere_is_no_other_job() {
        let bytes = job().encode().unwrap();
        let variables = "KEY=a=b\nc\0EMPTY=\0".len();
        for length in 0..bytes.len() - variables {
            assert!(Job::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Job::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(Job::decode(b"autobuilder-job-2\x001\0/\x001\0sh\0").is_err());
        assert!(Job::decode(b"autobuilder-job-1\x001\0/\x0018446744073709551615\0sh\0").is_err());
        assert!(Job::decode(&[0xff, 0]).is_err());
    }

    #[test]
    fn a_job_does_not_print_its_values() {
        let printed = format!("{:?}", job());
        assert!(
            printed.contains("KEY") && !printed.contains("a=b"),
            "{printed}"
        );
    }

    #[test]
    fn an_outcome_survives_its_text() {
        let outcome = Outcome {
            exit: Exit::Code(-1),
            started: 1_700_000_000_000,
            ended: 1_700_000_001_000,
            spool: u64::MAX,
            dropped: 7,
            spool_error: Some(28),
            memory_kills: 2,
            pids_hits: 3,
        };
        assert_eq!(
            Outcome::decode(outcome.encode().as_bytes()).unwrap(),
            outcome
        );
        let killed = Outcome {
            exit: Exit::Signal(9),
            spool_error: None,
            ..outcome
        };
        assert_eq!(Outcome::decode(killed.encode().as_bytes()).unwrap(), killed);
    }

    #[test]
    fn an_outcome_is_padded_and_grows_without_harm_but_does_not_guess() {
        let outcome = Outcome::decode(b"code 3\nfuture thing\nspool 9\n   \n").unwrap();
        assert_eq!((outcome.exit, outcome.spool), (Exit::Code(3), 9));
        for text in [
            "",
            "spool 3\n",
            "code x\n",
            "code 0\nspool -1\n",
            "code 99999999999\n",
        ] {
            assert!(Outcome::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_head_survives_its_bytes() {
        for kind in [Kind::Chunk, Kind::Limit, Kind::End, Kind::Alive] {
            let head = Head {
                kind,
                payload: MAX_PAYLOAD,
                time: 1,
                offset: u64::MAX,
            };
            assert_eq!(Head::decode(&head.encode()).unwrap(), head);
        }
    }

    #[test]
    fn a_head_that_is_none_is_refused() {
        let good = Head {
            kind: Kind::Chunk,
            payload: 0,
            time: 0,
            offset: 0,
        }
        .encode();
        for (at, value) in [(0, 0), (0, 5), (1, 1), (4, 1), (5, 2)] {
            let mut bad = good;
            bad[at] = value;
            assert!(Head::decode(&bad).is_err(), "byte {at} = {value}");
        }
    }
}
