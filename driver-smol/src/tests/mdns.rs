use super::*;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const NAME: &str = "d0b3ae24-5ba4-4b3c-a5ac-31a0a5b4d1f0.local";
const OTHER: &str = "00000000-5ba4-4b3c-a5ac-31a0a5b4d1f0.local";

#[test]
fn a_browsers_name_is_found_on_any_interface() {
    crate::namespace::run(
        "mdns::tests::inside",
        "for n in 7 8; do
           ip link add lan$n type veth peer name far$n
           ip addr add 10.7$n.0.1/24 dev lan$n
           ip link set lan$n up; ip link set far$n up
         done",
    );
}

/// A socket of a responder that knows one interface alone.
fn responder(interface: Ipv4Addr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_multicast_all_v4(false).unwrap();
    socket.join_multicast_v4(&GROUP, &interface).unwrap();
    socket.set_multicast_if_v4(&interface).unwrap();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5353));
    socket.bind(&any.into()).unwrap();
    socket.into()
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// Answers as Chrome does: to the group, whoever asked, and the first question is lost.
fn answer(socket: &UdpSocket, name: &str, ip: Ipv4Addr, lose: u32) {
    let name = encoded(name);
    let mut questions = 0;
    let mut buffer = [0; 2000];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        let message = &buffer[..length];
        let is_query = message[2] & 0x80 == 0;
        if !is_query || !message.windows(name.len()).any(|part| part == name) {
            continue;
        }
        questions += 1;
        if questions <= lose {
            continue;
        }
        let mut answer = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        answer.extend_from_slice(&name);
        answer.extend_from_slice(&[0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4]);
        answer.extend_from_slice(&ip.octets());
        socket.send_to(&answer, (GROUP, 5353)).unwrap();
    }
}

fn resolve(mdns: &Mdns, name: &str) -> Vec<IpAddr> {
    smol::block_on(mdns.resolve(name))
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside() {
    let first = Ipv4Addr::new(10, 77, 0, 1);
    let second = Ipv4Addr::new(10, 78, 0, 1);
    let address = Ipv4Addr::new(10, 78, 0, 44);
    let other_address = Ipv4Addr::new(10, 77, 0, 55);
    let socket = responder(second);
    std::thread::spawn(move || answer(&socket, NAME, address, 0));
    let socket = responder(first);
    std::thread::spawn(move || answer(&socket, OTHER, other_address, 1));

    let mdns = Mdns::new(None);
    assert_eq!(resolve(&mdns, NAME), [IpAddr::from(address)]);
    let found = resolve(&mdns, OTHER);
    assert_eq!(found, [IpAddr::from(other_address)], "asked again");

    let begun = Instant::now();
    let found = resolve(&mdns, &OTHER.replace("0000", "1111"));
    assert!(found.is_empty(), "nobody has this name");
    assert!(begun.elapsed() >= DEADLINE, "{:?}", begun.elapsed());

    // On the wrong interface nobody answers, on the right one somebody does.
    assert!(resolve(&Mdns::new(Some(first.into())), NAME).is_empty());
    let found = resolve(&Mdns::new(Some(second.into())), NAME);
    assert_eq!(found, [IpAddr::from(address)]);

    assert!(mdns.daemon.lock().unwrap().upgrade().is_none());
    // The daemon's thread ends soon; the others are this one, the test runner's and the responders'.
    let begun = Instant::now();
    while daemon_runs() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn daemon_runs() -> bool {
    let mut threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads.any(|thread| {
        let name = thread.unwrap().path().join("comm");
        // Nothing to be read of a thread that has just ended.
        std::fs::read_to_string(name).is_ok_and(|name| name.starts_with("mDNS"))
    })
}
