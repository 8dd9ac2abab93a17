//! The doctor, without any I/O: the test plays the servers.

use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::config::Config;
use crate::doctor::Udp;
use crate::event::Side;
use crate::ice::IceServer;
use crate::native::{Doctor, Input, Interface, Output, Transmit};
use crate::report::{NatMapping, ServerResult, Verdict};
use crate::signaling::{SignalingCommand, SignalingFailure, SignalingUpdate};
use crate::time::Timestamp;

const SERVER: &str = "9.9.9.9:3478";
const OTHER: &str = "9.9.9.10:3479";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn doctor(servers: &[&str], signaling: bool) -> Doctor {
    let servers = servers.iter().map(|url| IceServer::stun(url).unwrap());
    let config = Config::default().with_ice_servers(servers.collect());
    let mut doctor = Doctor::new(config, [7; 32], Timestamp::ZERO, signaling);
    let interface = Interface {
        name: "eth0".to_string(),
        address: address("192.168.1.2:5000"),
    };
    doctor.handle_input(Timestamp::ZERO, Input::Interfaces(&[interface]));
    doctor
}

fn transmits(doctor: &mut Doctor) -> Vec<Transmit> {
    let mut transmits = Vec::new();
    while let Some(output) = doctor.poll_output() {
        if let Output::Transmit(transmit) = output {
            transmits.push(transmit);
        }
    }
    transmits
}

/// Lets time pass until it is over, and says when that was; wakes it in time and never in vain.
fn finish(doctor: &mut Doctor) -> Timestamp {
    let mut now = Timestamp::ZERO;
    while let Some(at) = doctor.poll_timeout() {
        now = now.max(at);
        doctor.handle_timeout(now);
        let _ = transmits(doctor);
        assert!(doctor.poll_timeout().is_none_or(|next| next > now));
    }
    now
}

/// A Binding response: XOR-MAPPED-ADDRESS and, if there is one, OTHER-ADDRESS.
fn answer(request: &[u8], mapped: &str, other: Option<&str>) -> Vec<u8> {
    let attribute = |kind: u16, of: SocketAddr, xor: bool| {
        let SocketAddr::V4(of) = of else {
            panic!("{of}");
        };
        let (port, ip) = if xor { (0x2112, 0x2112_a442) } else { (0, 0) };
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 8, 0, 1]);
        bytes.extend_from_slice(&(of.port() ^ port).to_be_bytes());
        bytes.extend_from_slice(&(u32::from(*of.ip()) ^ ip).to_be_bytes());
        bytes
    };
    let mut body = attribute(0x0020, address(mapped), true);
    if let Some(other) = other {
        body.extend(attribute(0x802c, address(other), false));
    }
    let mut message = vec![1, 1, 0, u8::try_from(body.len()).unwrap()];
    message.extend_from_slice(&request[4..20]);
    message.extend(body);
    message
}

fn hear(doctor: &mut Doctor, request: &Transmit, mapped: &str, other: Option<&str>) {
    let payload = answer(&request.payload, mapped, other);
    doctor.handle_input(
        Timestamp::from_millis(30),
        Input::Datagram {
            local: request.local,
            remote: request.remote,
            payload: &payload,
        },
    );
}

#[test]
fn silence_is_over_after_nine_seconds() {
    let mut doctor = doctor(&["stun:9.9.9.9:3478"], true);
    let end = finish(&mut doctor);
    assert_eq!(end, Timestamp::from_millis(9_000));
    let examination = doctor.examination().unwrap();
    assert_eq!(examination.took, Duration::from_secs(9));
    assert_eq!(examination.servers[0].result, ServerResult::Silent);
    assert_eq!(examination.udp(), Udp::Unknown);
    let verdicts: Vec<Verdict> = examination.problems().iter().map(|p| p.verdict).collect();
    assert_eq!(verdicts, [Verdict::SignalingSilent, Verdict::StunSilent]);
    // It is over for good, whatever comes.
    doctor.handle_input(Timestamp::from_millis(10_000), Input::Interfaces(&[]));
    assert_eq!(doctor.poll_timeout(), None);
}

#[test]
fn it_is_over_soon_when_all_have_answered() {
    let mut doctor = doctor(&["stun:9.9.9.9:3478"], true);
    let mut request = None;
    let mut connection = None;
    while let Some(output) = doctor.poll_output() {
        match output {
            Output::Transmit(transmit) => request = Some(transmit),
            Output::Signaling(SignalingCommand::Open(id, _)) => connection = Some(id),
            _ => {}
        }
    }
    hear(&mut doctor, &request.unwrap(), "93.184.216.34:6000", None);
    let opened = SignalingUpdate::Frame(connection.unwrap(), r#"{"type":"OPEN"}"#);
    doctor.handle_input(Timestamp::from_millis(40), Input::Signaling(opened));
    assert!(finish(&mut doctor) < Timestamp::from_millis(1_000));
    let examination = doctor.examination().unwrap();
    assert_eq!(examination.problems(), []);
    assert_eq!(examination.mapped, [address("93.184.216.34:6000")]);
    assert_eq!(examination.mapping, NatMapping::Unknown);
    let signaling = examination.signaling.as_ref().unwrap();
    assert_eq!(signaling.verdict, None);
    assert_eq!(signaling.after, Duration::from_millis(40));
    assert!(!signaling.url.contains("key"), "{}", signaling.url);
}

#[test]
fn the_other_address_of_one_server_tells_the_nat() {
    for (second, mapping) in [
        ("93.184.216.34:6000", NatMapping::Independent),
        ("93.184.216.34:6001", NatMapping::Dependent),
    ] {
        let mut doctor = doctor(&["stun:9.9.9.9:3478"], false);
        let first = transmits(&mut doctor);
        let [request] = &first[..] else {
            panic!("{first:?}");
        };
        assert_eq!(request.remote, address(SERVER));
        hear(&mut doctor, request, "93.184.216.34:6000", Some(OTHER));
        let further = transmits(&mut doctor);
        let [request] = &further[..] else {
            panic!("{further:?}");
        };
        assert_eq!(request.remote, address(OTHER));
        hear(&mut doctor, request, second, None);
        let _ = finish(&mut doctor);
        let examination = doctor.examination().unwrap();
        assert_eq!(examination.mapping, mapping);
        // It is the same server, and told once.
        assert_eq!(examination.servers.len(), 1);
        let symmetric = examination
            .problems()
            .iter()
            .any(|problem| problem.verdict == Verdict::SymmetricNat(Side::Local));
        assert_eq!(symmetric, mapping == NatMapping::Dependent);
    }
}

#[test]
fn a_signaling_server_that_refuses_connections_is_told_at_once() {
    let mut doctor = doctor(&[], true);
    let mut now = Timestamp::ZERO;
    while doctor.examination().is_none() {
        while let Some(output) = doctor.poll_output() {
            if let Output::Signaling(SignalingCommand::Open(id, _)) = output {
                let failure = SignalingFailure::ConnectionRefused;
                let closed = SignalingUpdate::Closed(id, failure);
                doctor.handle_input(now, Input::Signaling(closed));
            }
        }
        now = doctor.poll_timeout().unwrap_or(now);
        doctor.handle_timeout(now);
    }
    assert!(now < Timestamp::from_millis(4_000), "{now:?}");
    let problems = doctor.examination().unwrap().problems();
    let failure = SignalingFailure::ConnectionRefused;
    assert_eq!(problems[0].verdict, Verdict::SignalingUnreachable(failure));
}
