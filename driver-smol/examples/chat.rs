//! A chat.
//!
//! ```text
//! cargo run --example chat host         hosts on this LAN and shows the code
//! cargo run --example chat join CODE    joins
//! cargo run --example chat              shows itself: both in one process, on loopback
//! ```

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::wildcard_enum_match_arm,
    reason = "a program with std, that needs few of the events"
)]

use std::error::Error;
use std::io::BufRead as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use wattle_smol::{Config, Event, Hosting, Network, Options};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    smol::block_on(async {
        match args[..] {
            ["host"] => {
                let network = Network::host(Hosting::Lan, on_the_lan()).await?;
                if let Some(code) = network.code() {
                    println!("the code is {code}");
                }
                chat(network).await
            }
            ["join", code] => chat(Network::join(&code.parse()?, on_the_lan()).await?).await,
            [] => show().await,
            _ => Err("usage: chat [host | join CODE]".into()),
        }
    })
}

/// No STUN server is needed on a LAN; over the internet, leave the default.
fn on_the_lan() -> Options {
    Options::new(Config::default().with_ice_servers(Vec::new()))
}

/// Lines typed go to all; what the others say is printed.
async fn chat(network: Network) -> Result<(), Box<dyn Error>> {
    // A thread reads the lines, because reading blocks.
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
        print(&event);
    }
    Ok(())
}

fn print(event: &Event) {
    match event {
        Event::NodeJoined { node } => println!("+ {node}"),
        Event::NodeLeft { node, reason } => println!("- {node}: {reason}"),
        Event::Message { from, payload } => {
            println!("{from}: {}", String::from_utf8_lossy(payload));
        }
        Event::Ended { reason } => println!("the end: {reason}"),
        _ => {}
    }
}

/// A joiner says something, the host answers, and both go.
async fn show() -> Result<(), Box<dyn Error>> {
    let loopback = || on_the_lan().with_bind(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let host = Network::host(Hosting::Lan, loopback()).await?;
    let code = host.code().ok_or("a host has a code")?;
    let joiner = Network::join(&code, loopback()).await?;
    joiner.broadcast("hello!")?;
    let hosting = async {
        while let Some(event) = host.next_event().await {
            print(&event);
            match event {
                Event::Message { from, .. } => host.send_to(from, "welcome!")?,
                Event::NodeLeft { .. } => host.start_leave(),
                _ => {}
            }
        }
        Ok(())
    };
    let joining = async {
        while let Some(event) = joiner.next_event().await {
            print(&event);
            if matches!(event, Event::Message { .. }) {
                joiner.start_leave();
            }
        }
        Ok(())
    };
    smol::future::try_zip(hosting, joining).await.map(|_| ())
}
