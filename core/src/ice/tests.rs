use super::*;
use alloc::format;

fn parse(text: &str) -> Result<IceServer, IceServerError> {
    text.parse()
}

#[test]
fn every_part_is_read() {
    use IceScheme::{Stun, Turn, Turns};
    use IceTransport::{Tcp, Tls, Udp};
    let name = |name: &str| IceHost::Name(name.into());
    let address = |text: &str| IceHost::Address(text.parse().unwrap());
    for (text, scheme, host, port, transport) in [
        ("stun:a.example", Stun, name("a.example"), 3478, Udp),
        (
            "STUN:A.Example.:19302",
            Stun,
            name("a.example."),
            19302,
            Udp,
        ),
        ("stun:192.0.2.1", Stun, address("192.0.2.1"), 3478, Udp),
        ("stun:[2001:db8::1]:1", Stun, address("2001:db8::1"), 1, Udp),
        ("turn:localhost", Turn, name("localhost"), 3478, Udp),
        ("turn:a-1_b:5?transport=udp", Turn, name("a-1_b"), 5, Udp),
        ("turn:a?transport=tcp", Turn, name("a"), 3478, Tcp),
        ("turns:a", Turns, name("a"), 5349, Tls),
        (
            "turns:[::1]?transport=tcp",
            Turns,
            address("::1"),
            5349,
            Tls,
        ),
        ("Turns:a:443?transport=tcp", Turns, name("a"), 443, Tls),
    ] {
        let url: IceUrl = text.parse().unwrap();
        assert_eq!(
            (
                url.scheme(),
                url.host().clone(),
                url.port(),
                url.transport()
            ),
            (scheme, host, port, transport),
            "{text}"
        );
    }
}

#[test]
fn what_is_written_reads_the_same() {
    for text in [
        "stun:a.example",
        "stun:192.0.2.1:19302",
        "turn:[2001:db8::1]",
        "turn:[2001:db8::1]:1?transport=tcp",
        "turns:a",
        "turns:a:443",
    ] {
        assert_eq!(text.parse::<IceUrl>().unwrap().to_string(), text);
    }
    for text in ["turn:a:3478?transport=udp", "turns:A:5349?transport=tcp"] {
        let url: IceUrl = text.parse().unwrap();
        assert_eq!(url.to_string().parse(), Ok(url), "{text}");
    }
}

#[test]
fn both_forms_of_a_server_are_taken() {
    let url = parse(" stun:stun.example.org ").unwrap();
    assert_eq!(Ok(url), IceServer::stun("stun:stun.example.org"));
    let turn = IceServer::turn("turn:t.example?transport=tcp", "u", "c");
    let json = r#"{"urls":"turn:t.example:3478?transport=tcp","username":"u","credential":"c"}"#;
    assert_eq!(parse(json), turn);
    for good in [
        r#"{"urls":["turns:[::1]?transport=tcp","stun:s"],"username":"u","credential":"c"}"#,
        r#"{"url":"stun:s:1","urls":"stun:s:1"}"#,
        r#"{"urls":"turn:t","username":"u","credential":"c","credentialType":"password"}"#,
        r#"{"urls":"turn:t"}"#,
        r#"{"urls":"stun:t","username":null,"credential":null}"#,
    ] {
        assert!(parse(good).is_ok(), "{good}: {:?}", parse(good));
    }
    let defaults: Vec<_> = IceServer::defaults()
        .iter()
        .map(|server| server.urls()[0].to_string())
        .collect();
    assert_eq!(
        defaults,
        [
            "stun:stun.l.google.com:19302",
            "stun:stun1.l.google.com:19302"
        ]
    );
    for server in IceServer::defaults() {
        assert_eq!(parse(&server.urls()[0].to_string()), Ok(server));
    }
}

#[test]
fn a_wrong_url_is_named() {
    type Wrong = fn(String) -> IceUrlError;
    let (scheme, host, port, query): (Wrong, Wrong, Wrong, Wrong) = (
        |url| IceUrlError::Scheme { url },
        |url| IceUrlError::Host { url },
        |url| IceUrlError::Port { url },
        |url| IceUrlError::Query { url },
    );
    let long = format!("stun:{}", "a.".repeat(127));
    let label = format!("stun:{}", "a".repeat(64));
    for (text, error) in [
        ("example.org", scheme),
        ("", scheme),
        (":", scheme),
        ("http://x", scheme),
        ("stuns:x", scheme),
        ("stun:", host),
        ("stun://x", host),
        ("stun:[::1", host),
        ("stun:[1.2.3.4]", host),
        ("stun:[fe80::1%eth0]", host),
        ("stun:2001:db8::1", host),
        ("stun:a..b", host),
        ("stun:.", host),
        ("stun:a b", host),
        ("stun:user@a", host),
        ("stun:300.1.1.1", host),
        ("stun:1.2.3", host),
        ("stun:0.0.0.0", host),
        ("stun:[::]", host),
        ("stun:224.0.0.1", host),
        (&long, host),
        (&label, host),
        ("stun:x:0", port),
        ("stun:x:", port),
        ("stun:x:+1", port),
        ("stun:x:65536", port),
        ("stun:[::1]3478", port),
        ("stun:x?transport=udp", query),
        ("turn:x?transport=sctp", query),
        ("turn:x?", query),
        ("turns:x?transport=tcp&a=b", query),
        ("turns:x?transport=udp", |url| IceUrlError::Dtls { url }),
    ] {
        let wrong = error(text.into());
        assert_eq!(parse(text), Err(IceServerError::Url(wrong)), "{text}");
        assert!(parse(text).unwrap_err().to_string().contains(text));
        let json = format!(r#"{{"urls":["stun:good","{text}"]}}"#);
        let wrong = error(text.into());
        assert_eq!(parse(&json), Err(IceServerError::Url(wrong)), "{json}");
    }
    assert!(parse(&"x".repeat(10_000)).unwrap_err().to_string().len() < 500);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    for (text, error) in [
        (r#"{"urls":[]}"#, IceServerError::NoUrls),
        (
            r#"{"urls":"turn:x","username":"u"}"#,
            IceServerError::Credential,
        ),
        (
            r#"{"urls":"turn:x","credential":"c"}"#,
            IceServerError::Credential,
        ),
        (
            r#"{"urls":"stun:x","username":"u","credential":"c"}"#,
            IceServerError::Credential,
        ),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    assert!(matches!(
        IceServer::stun("turn:x"),
        Err(IceServerError::Url(IceUrlError::Scheme { .. }))
    ));
    assert_eq!(
        IceServer::turn("stun:x", "u", "c"),
        Err(IceServerError::Credential)
    );
    assert_eq!(
        IceServer::turn("turn:x", &"u".repeat(509), "c"),
        Err(IceServerError::TooLong {
            username: 509,
            credential: 1
        })
    );
    for json in [
        "{",
        r#"{"urls":1}"#,
        r#"{"url":"stun:x"}"#,
        r#"{"urls":"stun:x","a":1}"#,
        r#"{"urls":"turn:x","username":"u","credential":"c","credentialType":"oauth"}"#,
    ] {
        let error = parse(json).unwrap_err();
        assert!(matches!(error, IceServerError::Json { .. }), "{json}");
    }
}

#[test]
fn a_credential_is_not_shown() {
    let server = IceServer::turn("turn:x", "u", "secret").unwrap();
    assert!(!format!("{server:?}").contains("secret"));
    assert_eq!(server.credential(), Some("secret"));
    assert_eq!(server.username(), Some("u"));
}
