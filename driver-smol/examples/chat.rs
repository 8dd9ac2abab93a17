//! A chat: `cargo run --example chat` hosts on this LAN, `cargo run --example chat CODE` joins.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::wildcard_enum_match_arm,
    reason = "a program with std, that needs few of the events"
)]

use std::error::Error;
use std::io::BufRead as _;
use std::sync::Arc;

use wattle_smol::{Config, Event, Hosting, Network};

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(chat(std::env::args().nth(1)))
}

async fn chat(code: Option<String>) -> Result<(), Box<dyn Error>> {
    let network = match code {
        Some(code) => Network::join(&code.parse()?, Config::default()).await?,
        None => Network::host(Hosting::Lan, Config::default()).await?,
    };
    if let Some(code) = network.code() {
        println!("the code is {code}");
    }

    // What is typed goes to all. A thread reads it, because reading it blocks.
    let network = Arc::new(network);
    let typing = Arc::clone(&network);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Err(error) = smol::block_on(typing.broadcast_when_room(line)) {
                eprintln!("{error}");
            }
        }
        typing.start_leave();
    });

    while let Some(event) = network.next_event().await {
        match event {
            Event::NodeJoined { node } => println!("+ {node}"),
            Event::NodeLeft { node, reason } => println!("- {node}: {reason}"),
            Event::Message { from, payload } => {
                println!("{from}: {}", String::from_utf8_lossy(&payload));
            }
            Event::Ended { reason } => println!("the end: {reason}"),
            _ => {}
        }
    }
    Ok(())
}
