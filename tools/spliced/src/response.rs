// SPDX-License-Identifier: GPL-2.0

//! Heads of HTTP/1 responses: where they end, how long the body is, and what becomes of the
//! connection.

use crate::body::Body;
use crate::http::{MAX_HEADERS, bare_newline, last_coding_is_chunked, tokens};

/// What a response head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
    /// Where the body ends.
    pub body: Body,
    /// Whether the backend keeps the connection after this response.
    pub persistent: bool,
    /// Whether another protocol follows; its name is not HTTP/2, which would carry requests that
    /// nobody routes.
    pub switches: bool,
    /// Bytes of the head, its empty line included.
    pub length: usize,
}

impl ResponseHead {
    /// Whether another response follows for the same request.
    pub fn interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Parses the head at the beginning of `stream`, which answers a request of this method; `None` when
/// more bytes are needed.
///
/// # Errors
///
/// What is wrong, when no further byte can make the head acceptable.
pub fn parse(stream: &[u8], method: &str) -> Result<Option<ResponseHead>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(stream) {
        Ok(httparse::Status::Complete(length)) => Some(length),
        Ok(httparse::Status::Partial) => None,
        Err(httparse::Error::TooManyHeaders) => return Err("too many header fields"),
        Err(_) => return Err("malformed response head"),
    };
    let head = stream
        .get(..length.unwrap_or(stream.len()))
        .unwrap_or_default();
    if bare_newline(head) {
        return Err("a line of the response head does not end in CR LF");
    }
    let Some(length) = length else {
        return Ok(None);
    };
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err("malformed response head");
    };
    if status < 100 {
        return Err("no such status code");
    }
    let body = match body(response.headers, version)? {
        // RFC 9112, section 6.3: whatever the fields say.
        _ if method == "HEAD" || status < 200 || status == 204 || status == 304 => Body::None,
        body => body,
    };
    let (mut close, mut keep) = (false, false);
    for token in tokens(response.headers, "connection") {
        close |= token.eq_ignore_ascii_case("close");
        keep |= token.eq_ignore_ascii_case("keep-alive");
    }
    let mut protocols = tokens(response.headers, "upgrade").peekable();
    let switches = status == 101
        && protocols.peek().is_some()
        && protocols.all(|name| {
            let name = name.split('/').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("h2c")
                && !name.eq_ignore_ascii_case("h2")
                && !name.eq_ignore_ascii_case("http")
        });
    if status == 101 && !switches {
        return Err("the backend switched to a protocol that carries more requests, or to none");
    }
    Ok(Some(ResponseHead {
        status,
        body,
        persistent: !close && (version == 1 || keep) && body != Body::ToClose,
        switches,
        length,
    }))
}

fn body(headers: &[httparse::Header<'_>], version: u8) -> Result<Body, &'static str> {
    let mut length = None;
    let mut chunked = None;
    for header in headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = !header.value.is_empty() && header.value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(header.value)
                .ok()
                .filter(|_| digits)
                .and_then(|value| value.parse::<u64>().ok())
                .ok_or("a bad Content-Length in the response")?;
            // The same twice has one meaning.
            if length.is_some_and(|other| other != number) {
                return Err("several Content-Length fields in the response");
            }
            length = Some(number);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked.is_some() {
                return Err("several Transfer-Encoding fields in the response");
            }
            chunked = Some(last_coding_is_chunked(header.value));
        }
    }
    match (chunked, length) {
        (Some(_), Some(_)) => Err("both Content-Length and Transfer-Encoding in the response"),
        (Some(_), None) if version == 0 => Err("Transfer-Encoding in an HTTP/1.0 response"),
        (Some(true), None) => Ok(Body::Chunked),
        (Some(false), None) | (None, None) => Ok(Body::ToClose),
        (None, Some(length)) => Ok(Body::Length(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepted(head: &str, method: &str) -> ResponseHead {
        match parse(head.as_bytes(), method) {
            Ok(Some(parsed)) => parsed,
            other => panic!("{head:?}: {other:?}"),
        }
    }

    #[test]
    fn bodies_and_connections() {
        use Body::*;
        for (head, method, body, persistent) in [
            ("200 OK\r\nContent-Length: 5\r\n", "GET", Length(5), true),
            ("200\r\nContent-Length: 5\r\n", "GET", Length(5), true),
            ("200 OK\r\nContent-Length: 5\r\n", "HEAD", None, true),
            ("204 No\r\nContent-Length: 5\r\n", "GET", None, true),
            ("304 No\r\nContent-Length: 5\r\n", "GET", None, true),
            ("100 Go\r\n", "PUT", None, true),
            ("200 OK\r\n", "GET", ToClose, false),
            ("200 OK\r\n", "HEAD", None, true),
            (
                "200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n",
                "GET",
                Length(7),
                true,
            ),
            (
                "200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
                "GET",
                Chunked,
                true,
            ),
            (
                "200 OK\r\nTransfer-Encoding: gzip\r\n",
                "GET",
                ToClose,
                false,
            ),
            (
                "200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n",
                "GET",
                Length(0),
                false,
            ),
            (
                "200 OK\r\nConnection: keep-alive, x\r\nConnection: close\r\nContent-Length: 0\r\n",
                "GET",
                Length(0),
                false,
            ),
        ] {
            let parsed = accepted(&format!("HTTP/1.1 {head}\r\n"), method);
            assert_eq!(
                (parsed.body, parsed.persistent),
                (body, persistent),
                "{head}"
            );
        }
        let old = |fields: &str| accepted(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n"), "GET");
        assert!(!old("Content-Length: 1\r\n").persistent);
        assert!(old("Content-Length: 1\r\nConnection: Keep-Alive\r\n").persistent);
        assert!(!old("Connection: Keep-Alive\r\n").persistent);
    }

    #[test]
    fn switches() {
        let answer = |upgrade: &str| {
            parse(
                format!("HTTP/1.1 101 X\r\nConnection: Upgrade\r\n{upgrade}\r\n").as_bytes(),
                "GET",
            )
        };
        assert!(answer("Upgrade: websocket\r\n").unwrap().unwrap().switches);
        for bad in [
            "",
            "Upgrade: h2c\r\n",
            "Upgrade: websocket, H2C\r\n",
            "Upgrade: HTTP/2.0\r\n",
        ] {
            assert!(answer(bad).is_err(), "{bad}");
        }
        assert!(!accepted("HTTP/1.1 100 X\r\nUpgrade: h2c\r\n\r\n", "GET").switches);
    }

    #[test]
    fn bad_heads() {
        for head in [
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 1\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\n\r\n",
            "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(parse(head.as_bytes(), "GET").is_err(), "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_reads_the_same(
            head in "HTTP/1\\.[01] (101|200|204) [a-z ]{0,3}\r\n((Content-Length|Connection|Upgrade|Transfer-Encoding|X): ?[a-z0-9, ]{0,7}\r?\n){0,4}\r\n",
            tail in "[a-z\r\n]{0,9}",
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = format!("{head}{tail}");
            let expected = parse(whole.as_bytes(), "GET");
            match parse(&whole.as_bytes()[..cut.index(whole.len())], "GET") {
                Ok(None) => {}
                early => prop_assert_eq!(early.is_err(), expected.is_err()),
            }
            if let Ok(Some(parsed)) = expected {
                prop_assert_eq!(parsed.length, head.len());
            }
        }

        #[test]
        fn never_panics(stream in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&stream, "GET");
        }
    }
}
