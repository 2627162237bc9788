//! One connection, as it goes on and as it fails.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional, sink};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::{Fault, First, Shared, Then};

/// The most that is looked at of what is asked first.
const MOST_WORDS: usize = 64 * 1024;

/// Repeated bytes go out in pieces of at least this size.
const PIECE: usize = 64 * 1024;

/// Whatever goes wrong here is the end of the connection, as it would be elsewhere.
pub async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let _ = serve_to_its_end(client, &shared).await;
}

async fn serve_to_its_end(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut words = Vec::new();
    // A request of HTTP is known by its head; others say what they want in one piece.
    while words.len() < MOST_WORDS {
        if client.read_buf(&mut words).await? == 0 {
            return Ok(());
        }
        let is_http = words.first().is_some_and(u8::is_ascii_uppercase);
        if !is_http || words.windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    match (meet(shared, &words), shared.server) {
        (None, None) => Ok(()),
        (None, Some(server)) => {
            let mut server = TcpStream::connect(server).await?;
            server.write_all(&words).await?;
            copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        }
        (Some((text, fault)), server) => {
            let met = || shared.state().met.push(text);
            fail(client, words, fault, server, met).await
        }
    }
}

/// The fault that is for a connection whose first words are these, and the text it is known by.
fn meet(shared: &Shared, words: &[u8]) -> Option<(String, Fault)> {
    let words = String::from_utf8_lossy(words);
    let state = shared.state();
    let mut faults = state.faults.iter();
    let found = faults.find(|(text, _)| words.contains(text.as_str()))?;
    Some(found.clone())
}

async fn fail(
    client: TcpStream,
    words: Vec<u8>,
    fault: Fault,
    server: Option<SocketAddr>,
    met: impl FnOnce(),
) -> io::Result<()> {
    let (mut reader, mut writer) = client.into_split();
    match (fault.first, server) {
        // One that came before the door was shut.
        (First::Refuses, _) => return reset(reader, writer),
        (First::Says(bytes), _) => writer.write_all(&bytes).await?,
        (First::Passes(bytes), Some(server)) => {
            let (from, mut to) = TcpStream::connect(server).await?.into_split();
            let mut from = from.take(bytes as u64);
            to.write_all(&words).await?;
            tokio::select! {
                sent = async {
                    copy(&mut reader, &mut to).await?;
                    std::future::pending::<io::Result<()>>().await
                } => sent?,
                passed = copy(&mut from, &mut writer) => drop(passed?),
            }
            if from.limit() > 0 {
                // The server has said less, and ended.
                return Ok(());
            }
        }
        (First::Passes(_), None) => {}
    }
    met();
    let then = async {
        match &fault.then {
            Then::Ends => writer.shutdown().await,
            Then::Hangs => std::future::pending().await,
            Then::Resets => Ok(()),
            Then::Repeats(bytes) => {
                let piece = bytes.repeat(PIECE.div_ceil(bytes.len()));
                loop {
                    writer.write_all(&piece).await?;
                }
            }
        }
    };
    // What is sent is taken, until its sender has had enough.
    let mut nowhere = sink();
    tokio::select! {
        ended = then => ended?,
        taken = copy(&mut reader, &mut nowhere) => drop(taken?),
    }
    match fault.then {
        Then::Resets => reset(reader, writer),
        _ => Ok(()),
    }
}

fn reset(reader: OwnedReadHalf, writer: OwnedWriteHalf) -> io::Result<()> {
    let client = reader.reunite(writer).expect("two halves of one");
    client.set_zero_linger()
}
