//! PID 1: runs the script, outlives it, and says how it ended.

use std::fs::{self, File};
use std::io::{self, PipeWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::cgroup;
use crate::follow::now;
use crate::processes;
use crate::protocol::{Exit, JOB, Job, Outcome, RESULT};
use crate::spool::{PIPE_SIZE, Spool};
use crate::sys::{self, Wait};

const DRAFT: &str = "/.autobuilder/result.draft";
/// As shells have it.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Runs the job to its end and then waits for ever. The service removes the container when it has
/// everything; ending by ourselves would cut the followers off.
///
/// # Errors
/// There is no job (somebody started the container a second time), or nowhere to write to.
pub fn supervise() -> io::Result<()> {
    let job = take_job()?;
    let spool = Spool::create(job.max_log)?;
    let result = Draft::create()?;

    let (output, script_writes) = io::pipe()?;
    sys::enlarge_pipe(&output, PIPE_SIZE as i32);
    let (ended, still_running) = io::pipe()?;
    let copier = thread::spawn(move || {
        let spooled = spool.copy(output, &ended);
        if spooled.error.is_some() {
            // Nobody will see what the script says from here on, and its build has errored.
            processes::kill_all();
        }
        spooled
    });

    let started = now();
    let exit = match start(&job, &script_writes) {
        Ok(script) => {
            // Ours would keep the pipe open, and the memory would keep the secrets.
            drop((job, script_writes));
            wait_for(script)
        }
        Err(error) => {
            let (message, code) = explain(&job, &error);
            writeln!(
                &script_writes,
                "autobuilder: cannot run {}: {message}",
                job.arguments[0]
            )?;
            drop(script_writes);
            Exit::Code(code)
        }
    };
    let time = now();
    processes::end_leftovers();
    drop(still_running);
    let spooled = copier
        .join()
        .map_err(|_| io::Error::other("the copier panicked"))?;
    result.publish(&Outcome {
        exit,
        started,
        ended: time,
        spool: spooled.bytes,
        dropped: spooled.dropped,
        spool_error: spooled.error,
        memory_kills: cgroup::memory_kills(),
        pids_hits: cgroup::pids_hits(),
    })?;
    reap_for_ever()
}

fn take_job() -> io::Result<Job> {
    let bytes = fs::read(JOB)?;
    fs::remove_file(JOB)?;
    Job::decode(&bytes).map_err(io::Error::other)
}

#[expect(
    unsafe_code,
    reason = "std can make a process the leader of its group, but not of a session"
)]
fn start(job: &Job, output: &PipeWriter) -> io::Result<u32> {
    let folder = Path::new(&job.folder);
    let program = program(job);
    make_executable(&program);
    let mut command = Command::new(&job.arguments[0]);
    command
        .args(&job.arguments[1..])
        .current_dir(folder)
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    // SAFETY: runs between fork and exec, where only calls that take no lock are allowed: setsid
    // is one, and so are the open, write and close of `be_killed_first`, which does not allocate.
    unsafe { command.pre_exec(|| sys::setsid().map(|()| be_killed_first())) };
    Ok(command.spawn()?.id())
}

/// Makes the kernel take the script's processes before this one when memory runs out. Raising the
/// value needs no right. Where /proc is read-only, the largest process goes first, which is not us.
fn be_killed_first() {
    if let Ok(mut file) = File::options().write(true).open("/proc/self/oom_score_adj") {
        let _ = file.write_all(b"1000");
    }
}

/// The file that is run, where it is named by a path.
fn program(job: &Job) -> PathBuf {
    Path::new(&job.folder).join(&job.arguments[0])
}

/// Repositories forget the bit. An error shows when the file is run.
fn make_executable(program: &Path) {
    if let Ok(metadata) = fs::metadata(program) {
        let mode = metadata.permissions().mode();
        if metadata.is_file() && mode & 0o111 != 0o111 {
            let _ = fs::set_permissions(program, PermissionsExt::from_mode(mode | 0o111));
        }
    }
}

/// Says why the script did not start, in words that help, and the exit code that shells give it.
/// The kernel says "not found" of a script as well as of what its first line names.
fn explain(job: &Job, error: &io::Error) -> (String, i32) {
    let program = program(job);
    if !Path::new(&job.folder).is_dir() {
        return (
            format!("the folder {} does not exist", job.folder),
            NOT_FOUND,
        );
    }
    if program.is_dir() {
        return ("it is a folder".to_owned(), NOT_EXECUTABLE);
    }
    if error.kind() != io::ErrorKind::NotFound {
        return (error.to_string(), NOT_EXECUTABLE);
    }
    if !program.exists() {
        return ("there is no such file".to_owned(), NOT_FOUND);
    }
    let reason = match first_line(&program).strip_prefix("#!") {
        Some(line) if line.ends_with('\r') => {
            format!("its first line ends in a carriage return, so it asks for {line:?}")
        }
        Some(line) => {
            let name = line.split_whitespace().next().unwrap_or_default();
            format!("its interpreter {name} is not in the image")
        }
        // The C library gives a script without such a line to /bin/sh.
        None => {
            "its first line names no interpreter (#!), or its loader is not in the image".to_owned()
        }
    };
    (reason, NOT_FOUND)
}

fn first_line(program: &Path) -> String {
    let mut beginning = Vec::new();
    if let Ok(file) = File::open(program) {
        let _ = file.take(256).read_to_end(&mut beginning);
    }
    let line = beginning
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

/// Reaps whatever ends until the script does.
fn wait_for(script: u32) -> Exit {
    loop {
        let Some((pid, status)) = sys::reap(Wait::Forever) else {
            unreachable!("the script is our child and only we reap");
        };
        if pid == script {
            let status = ExitStatus::from_raw(status);
            // One of both is there: we asked only for children that ended.
            return status
                .code()
                .map_or_else(|| Exit::Signal(status.signal().unwrap_or(0)), Exit::Code);
        }
    }
}

/// The outcome's file. Its space is taken while there is some: a build that fills the disk shall
/// still be able to say how it ended.
struct Draft(File);

impl Draft {
    const SPACE: usize = 512;

    fn create() -> io::Result<Self> {
        let mut file = File::create_new(DRAFT)?;
        file.write_all(&[b'\n'; Self::SPACE])?;
        Ok(Self(file))
    }

    fn publish(mut self, outcome: &Outcome) -> io::Result<()> {
        let text = outcome.encode();
        self.0.rewind()?;
        self.0.write_all(text.as_bytes())?;
        self.0.set_len(text.len() as u64)?;
        fs::rename(DRAFT, RESULT)
    }
}

/// Processes that came in by `docker exec` leave their orphans to us.
fn reap_for_ever() -> ! {
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    loop {
        while sys::reap(Wait::Forever).is_some() {}
        thread::sleep(LOOK_EVERY);
    }
}
