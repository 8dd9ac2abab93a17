//! Lines of the standard input, read on a thread: portable, and never in the way of the rest.

use std::io::{BufRead as _, Read as _};

use smol::channel::{Receiver, Sender};

/// The longest line. A message is at most 256 KiB by default.
const LONGEST: u64 = 1024 * 1024;

/// How many lines are read ahead.
const AHEAD: usize = 16;

/// What came.
#[derive(Debug)]
pub(crate) enum Input {
    Line(String),
    /// A line that cannot be used: what is wrong with it.
    Bad(&'static str),
}

/// Begins to read. The channel closes at the end of the input.
pub(crate) fn lines() -> Receiver<Input> {
    let (sender, receiver) = smol::channel::bounded(AHEAD);
    let read = move || read(&sender);
    // Without the thread there is no input; the network can be used all the same.
    if let Err(error) = std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(read)
    {
        tracing::error!(%error, "the standard input cannot be read");
    }
    receiver
}

fn read(sender: &Sender<Input>) {
    let mut stdin = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        match (&mut stdin).take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let input = if line.len() as u64 >= LONGEST && !line.ends_with(b"\n") {
            skip_line(&mut stdin);
            Input::Bad("the line is longer than 1 MiB")
        } else {
            if line.ends_with(b"\n") {
                line.pop();
            }
            if line.ends_with(b"\r") {
                line.pop();
            }
            match String::from_utf8(line) {
                Ok(line) => Input::Line(line),
                Err(_) => Input::Bad("the line is not UTF-8"),
            }
        };
        if sender.send_blocking(input).is_err() {
            return;
        }
    }
}

fn skip_line(stdin: &mut std::io::StdinLock<'_>) {
    loop {
        let (length, done) = match stdin.fill_buf() {
            Ok([]) | Err(_) => return,
            Ok(buffer) => match buffer.iter().position(|&byte| byte == b'\n') {
                Some(place) => (place.saturating_add(1), true),
                None => (buffer.len(), false),
            },
        };
        stdin.consume(length);
        if done {
            return;
        }
    }
}
