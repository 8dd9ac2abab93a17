//! HTTP, as far as a signaling server needs it: the head of a request, and a short answer.

use std::time::Duration;

use async_tungstenite::tungstenite::handshake::server::{create_response, write_response};
use async_tungstenite::tungstenite::http;
use smol::Timer;
use smol::future::or;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::TcpStream;

/// The longest HTTP head that is read.
const HEAD_LIMIT: usize = 8 * 1024;

/// How many header lines a head may have.
const HEADER_LINES: usize = 64;

/// How long a client may take to take its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is taken from an HTTP head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The answer that completes the WebSocket handshake, if the head asks for one.
    pub(crate) upgrade: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(crate) enum HeadError {
    /// The client sent nothing, or not all, or went away.
    Silent,
    /// To be answered with this status.
    Bad(u16),
}

/// Reads until the empty line; gives what came after it, too.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Result<(Head, Vec<u8>), HeadError> {
    let mut buffer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = stream
            .read(&mut chunk)
            .await
            .map_err(|_| HeadError::Silent)?;
        if count == 0 {
            return Err(HeadError::Silent);
        }
        buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if let Some((head, length)) = parse_head(&buffer)? {
            return Ok((head, buffer.split_off(length)));
        }
        if buffer.len() > HEAD_LIMIT {
            return Err(HeadError::Bad(431));
        }
    }
}

/// The head at the front of `buffer` and its length; `None` if there is more to come.
fn parse_head(buffer: &[u8]) -> Result<Option<(Head, usize)>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LINES];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::Bad(431)),
        Err(_) => return Err(HeadError::Bad(400)),
    };
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default();
    let wants_upgrade = request.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("upgrade")
            && header.value.eq_ignore_ascii_case(b"websocket")
    });
    let upgrade = if wants_upgrade {
        // A handshake that is wrong (no key, another version) is a matter of HTTP alone.
        Some(upgrade_response(&request).ok_or(HeadError::Bad(400))?)
    } else {
        None
    };
    let head = Head {
        method: method.to_owned(),
        target: target.to_owned(),
        upgrade,
    };
    Ok(Some((head, length)))
}

fn upgrade_response(request: &httparse::Request<'_, '_>) -> Option<Vec<u8>> {
    let version = match request.version {
        Some(1) => http::Version::HTTP_11,
        _ => return None,
    };
    let mut built = http::Request::builder()
        .method(request.method?)
        .uri(request.path?)
        .version(version);
    for header in request.headers.iter() {
        built = built.header(header.name, header.value);
    }
    let response = create_response(&built.body(()).ok()?).ok()?;
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).ok()?;
    Some(bytes)
}

/// Answers in plain text, for any origin to read, and closes.
pub(crate) async fn respond(stream: &mut TcpStream, status: u16, body: &str) {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let text = format!(
        "HTTP/1.1 {status} {reason}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Access-Control-Allow-Origin: *\r\n\
         Connection: close\r\n\
         \r\n\
         {body}",
        body.len()
    );
    let answer = async {
        if stream.write_all(text.as_bytes()).await.is_ok() && stream.close().await.is_ok() {
            // Read what is still under way: closing on top of it would reset the connection and
            // could take the answer with it.
            let mut rest = [0; 1024];
            for _ in 0..HEAD_LIMIT.div_ceil(rest.len()) {
                if !stream.read(&mut rest).await.is_ok_and(|count| count > 0) {
                    break;
                }
            }
        }
    };
    or(answer, async {
        Timer::after(ANSWER_TIMEOUT).await;
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<(Head, usize)>, HeadError> {
        parse_head(text.as_bytes())
    }

    #[test]
    fn a_plain_request_is_taken_apart() {
        let text = "GET /peerjs/id HTTP/1.1\r\nHost: x\r\n\r\nrest";
        let (head, length) = parsed(text).unwrap().unwrap();
        assert_eq!(
            (head.method.as_str(), head.target.as_str()),
            ("GET", "/peerjs/id")
        );
        assert!(head.upgrade.is_none());
        assert_eq!(text.get(length..), Some("rest"));
        assert!(parsed("GET / HTTP/1.1\r\nHost").unwrap().is_none());
    }

    #[test]
    fn a_handshake_gets_the_answer_of_rfc_6455() {
        let (head, _) = parsed(
            "GET /peerjs?id=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
             Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap()
        .unwrap();
        let answer = String::from_utf8(head.upgrade.unwrap()).unwrap();
        // The key and its answer are the example of RFC 6455, 1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    }

    #[test]
    fn wrong_heads_are_refused() {
        for text in [
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "\u{0}\u{1}\r\n\r\n",
            "GET / HTTP/9\r\n\r\n",
        ] {
            assert!(matches!(parsed(text), Err(HeadError::Bad(400))), "{text:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
        assert!(matches!(parsed(&many), Err(HeadError::Bad(431))));
    }
}
