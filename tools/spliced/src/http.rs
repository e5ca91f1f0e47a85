// SPDX-License-Identifier: GPL-2.0

//! Heads of HTTP/1 requests: complete or not, acceptable or not, and where they want to go.
//!
//! httparse splits the head; this file then refuses what two HTTP implementations could
//! understand differently (RFC 9112, section 11.2), because the backend gets the same bytes.

use crate::body::Body;
use crate::host::normal_authority;

/// Most header fields in a head.
pub const MAX_HEADERS: usize = 128;

/// What a request head asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The method, a token.
    pub method: String,
    /// The path, as sent, without the query. `/` for `OPTIONS *`.
    pub path: String,
    /// The host, as [`normal_authority`] writes it; `None` when the request names none.
    pub host: Option<String>,
    /// Bytes of the head, its empty line included; what follows is the body.
    pub length: usize,
    /// Where the body ends.
    pub body: Body,
    /// Whether the client keeps the connection for another request.
    pub persistent: bool,
    /// Whether the client waits for leave before it sends the body.
    pub expects_continue: bool,
    /// Whether the backend may take what follows on the connection to be of the same user (NTLM).
    pub binds: bool,
}

impl Head {
    /// Whether asking twice is as good as once; RFC 9110, section 9.2.2.
    pub fn idempotent(&self) -> bool {
        matches!(
            &*self.method,
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
        )
    }
}

/// A request that is answered by the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// Status code.
    pub status: u16,
    /// The cause, for the client and the log.
    pub why: &'static str,
}

impl Reject {
    const fn new(status: u16, why: &'static str) -> Self {
        Reject { status, why }
    }

    /// The response. `head_only` when the request was HEAD: the length is told, the body is not sent.
    pub fn response(&self, head_only: bool) -> Vec<u8> {
        let phrase = phrase(self.status);
        let body = format!("{} {phrase}: {}\n", self.status, self.why);
        let mut out = format!(
            "HTTP/1.1 {} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.status,
            body.len()
        );
        if !head_only {
            out.push_str(&body);
        }
        out.into_bytes()
    }
}

/// The head did not arrive in time.
pub const TIMEOUT: Reject = Reject::new(408, "the request head did not arrive in time");
/// The client closed within the head.
pub const TRUNCATED: Reject = Reject::new(400, "the connection was closed within the request head");
/// No route.
pub const NO_ROUTE: Reject = Reject::new(404, "no route for this host and path");
/// No backend.
pub const NO_BACKEND: Reject = Reject::new(502, "no backend could be reached");
/// A backend that does not answer.
pub const LATE: Reject = Reject::new(504, "the backend gave no response in time");
/// The body is none.
pub const BAD_BODY: Reject = Reject::new(400, "malformed request body");
const BAD: Reject = Reject::new(400, "malformed request head");

fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        408 => "Request Timeout",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

/// Says when a growing head is worth parsing again, so that a client that sends byte by byte
/// costs a logarithmic number of attempts.
#[derive(Debug, Default)]
pub struct HeadReader {
    seen: usize,
    parsed: usize,
    first_line: bool,
}

impl HeadReader {
    /// Looks at the stream so far; it begins with what earlier calls were given. `None` as long
    /// as the head is not complete; `limit` is the most bytes it may have.
    ///
    /// # Errors
    ///
    /// The response to give, once the head cannot be accepted any more.
    pub fn advance(&mut self, stream: &[u8], limit: usize) -> Result<Option<Head>, Reject> {
        let news = stream
            .get(self.seen.saturating_sub(3)..)
            .unwrap_or_default();
        self.seen = stream.len();
        let ends = news
            .windows(3)
            .any(|w| w == b"\n\r\n" || w.ends_with(b"\n\n"));
        let line = !self.first_line && news.contains(&b'\n');
        self.first_line |= line;
        if ends || line || stream.len() >= self.parsed.saturating_mul(2) || stream.len() >= limit {
            self.parsed = stream.len();
            if let Some(head) = parse(stream)? {
                if head.length <= limit {
                    return Ok(Some(head));
                }
            }
        }
        if stream.len() < limit {
            return Ok(None);
        }
        Err(match self.first_line {
            true => Reject::new(431, "the request head is larger than the limit"),
            false => Reject::new(414, "the request line is larger than the limit"),
        })
    }
}

/// Parses the head at the beginning of `stream`; `None` when more bytes are needed.
///
/// # Errors
///
/// The response to give, when no further byte can make the head acceptable.
pub fn parse(stream: &[u8]) -> Result<Option<Head>, Reject> {
    if stream.starts_with(b"PRI * HTTP/2.0\r\n") {
        return Err(Reject::new(505, "HTTP/2 is not offered here; use HTTP/1.1"));
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(stream) {
        Ok(httparse::Status::Complete(length)) => Some(length),
        Ok(httparse::Status::Partial) => None,
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Reject::new(431, "too many header fields"));
        }
        Err(httparse::Error::Version) => return Err(bad_version(stream)),
        Err(httparse::Error::HeaderName) => {
            return Err(Reject::new(
                400,
                "malformed header field name or folded line",
            ));
        }
        Err(_) => return Err(BAD),
    };
    let head = stream
        .get(..length.unwrap_or(stream.len()))
        .unwrap_or_default();
    if bare_newline(head) {
        return Err(Reject::new(400, "a line that does not end in CR LF"));
    }
    let Some(length) = length else {
        return Ok(None);
    };
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(BAD);
    };
    let body = framing(request.headers, version)?;
    let named = host_field(request.headers)?;
    if named.is_none() && version == 1 {
        return Err(Reject::new(400, "HTTP/1.1 without Host"));
    }
    let (authority, path) = split_target(method, target)?;
    let host = match (authority, named) {
        // RFC 9112, 3.2.2 lets the target win; a backend may think otherwise, so they must agree.
        (Some(target), Some(field)) if field.as_ref() != Some(&target) => {
            return Err(Reject::new(400, "Host differs from the request target"));
        }
        (Some(target), _) => Some(target),
        (None, field) => field.flatten(),
    };
    let (mut close, mut keep) = (false, false);
    for token in tokens(request.headers, "connection") {
        close |= token.eq_ignore_ascii_case("close");
        keep |= token.eq_ignore_ascii_case("keep-alive");
    }
    let field = |name: &str, begins: &[&str]| {
        request.headers.iter().any(|header| {
            let value = header.value.trim_ascii();
            header.name.eq_ignore_ascii_case(name)
                && begins.iter().any(|begin| {
                    value
                        .get(..begin.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(begin.as_bytes()))
                })
        })
    };
    Ok(Some(Head {
        method: method.to_owned(),
        path: path.to_owned(),
        host,
        length,
        body,
        persistent: !close && (version == 1 || keep),
        expects_continue: version == 1 && field("expect", &["100-continue"]),
        binds: field("authorization", &["NTLM", "Negotiate"]),
    }))
}

/// The elements of a list that may be spread over several fields.
pub(crate) fn tokens<'h>(
    headers: &'h [httparse::Header<'_>],
    name: &'static str,
) -> impl Iterator<Item = &'h str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty())
}

/// An unknown version gets 505, anything else in its place 400.
fn bad_version(stream: &[u8]) -> Reject {
    let line = stream
        .split(|&b| b == b'\r' || b == b'\n')
        .find(|line| !line.is_empty());
    let mut parts = line.unwrap_or_default().split(|&b| b == b' ');
    let version = parts
        .nth(2)
        .and_then(|version| version.strip_prefix(b"HTTP/"));
    match version {
        Some(&[major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() && parts.next().is_none() =>
        {
            Reject::new(505, "only HTTP/1.0 and HTTP/1.1 are offered here")
        }
        _ => BAD,
    }
}

pub(crate) fn bare_newline(head: &[u8]) -> bool {
    head.first() == Some(&b'\n') || head.windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r')
}

/// Refuses whatever makes the length of the body ambiguous; RFC 9112, section 6.3.
fn framing(headers: &[httparse::Header<'_>], version: u8) -> Result<Body, Reject> {
    let mut lengths = 0;
    let mut length = 0;
    let mut chunked = None;
    for header in headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            lengths += 1;
            let digits = !header.value.is_empty() && header.value.iter().all(u8::is_ascii_digit);
            length = std::str::from_utf8(header.value)
                .ok()
                .filter(|_| digits)
                .and_then(|value| value.parse::<u64>().ok())
                .ok_or(Reject::new(400, "bad Content-Length"))?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked.is_some() {
                return Err(Reject::new(400, "several Transfer-Encoding fields"));
            }
            chunked = Some(last_coding_is_chunked(header.value));
        }
    }
    match chunked {
        _ if lengths > 1 => Err(Reject::new(400, "several Content-Length fields")),
        None if length > 0 => Ok(Body::Length(length)),
        None => Ok(Body::None),
        Some(_) if lengths > 0 => Err(Reject::new(
            400,
            "both Content-Length and Transfer-Encoding",
        )),
        Some(_) if version == 0 => Err(Reject::new(400, "Transfer-Encoding in HTTP/1.0")),
        Some(false) => Err(Reject::new(
            400,
            "Transfer-Encoding does not end in chunked",
        )),
        Some(true) => Ok(Body::Chunked),
    }
}

/// Whether `chunked` is the last coding of the list, and only there.
pub(crate) fn last_coding_is_chunked(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else {
        return false;
    };
    let mut codings = value
        .rsplit(',')
        .map(|coding| coding.trim_matches([' ', '\t']));
    codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("chunked"))
        && codings.all(|other| {
            !other.is_empty()
                && other
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !other.eq_ignore_ascii_case("chunked")
        })
}

/// `None` without a Host field, `Some(None)` with an empty one.
fn host_field(headers: &[httparse::Header<'_>]) -> Result<Option<Option<String>>, Reject> {
    let mut fields = headers
        .iter()
        .filter(|h| h.name.eq_ignore_ascii_case("host"));
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() {
        return Err(Reject::new(400, "several Host fields"));
    }
    if field.value.is_empty() {
        return Ok(Some(None));
    }
    let name = std::str::from_utf8(field.value)
        .ok()
        .and_then(normal_authority);
    name.map(|name| Some(Some(name)))
        .ok_or(Reject::new(400, "bad Host"))
}

/// Splits a request target into authority and path; RFC 9112, section 3.2.
fn split_target<'t>(method: &str, target: &'t str) -> Result<(Option<String>, &'t str), Reject> {
    const BAD_TARGET: Reject = Reject::new(400, "malformed request target");
    if method == "CONNECT" {
        return Err(Reject::new(501, "CONNECT is not offered here"));
    }
    if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(BAD_TARGET);
    }
    if target == "*" {
        return if method == "OPTIONS" {
            Ok((None, "/"))
        } else {
            Err(BAD_TARGET)
        };
    }
    if target.starts_with('/') {
        return Ok((None, without_query(target)));
    }
    let (scheme, rest) = target.split_once("://").ok_or(BAD_TARGET)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(BAD_TARGET);
    }
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let authority = normal_authority(authority).ok_or(BAD_TARGET)?;
    let path = without_query(path);
    Ok((Some(authority), if path.is_empty() { "/" } else { path }))
}

fn without_query(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepted(head: &str) -> Head {
        match parse(head.as_bytes()) {
            Ok(Some(parsed)) => parsed,
            other => panic!("{head:?}: {other:?}"),
        }
    }

    #[test]
    fn good_heads() {
        for (head, host, path) in [
            (
                "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
                Some("a.example"),
                "/",
            ),
            (
                "GET /x/y?q=/z HTTP/1.1\r\nhOsT:A.example:8080\r\n\r\n",
                Some("a.example"),
                "/x/y",
            ),
            ("GET /x HTTP/1.0\r\n\r\n", None, "/x"),
            ("GET /x HTTP/1.0\r\nHost: a\r\n\r\n", Some("a"), "/x"),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", None, "/"),
            (
                "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
                Some("[::1]"),
                "/",
            ),
            (
                "GET http://B.example/p?q HTTP/1.1\r\nHost: b.example\r\n\r\n",
                Some("b.example"),
                "/p",
            ),
            (
                "GET HTTP://b.example HTTP/1.1\r\nHost: b.example:80\r\n\r\n",
                Some("b.example"),
                "/",
            ),
            (
                "GET http://b.example?q HTTP/1.1\r\nHost: b.example\r\n\r\n",
                Some("b.example"),
                "/",
            ),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Some("a"), "/"),
            ("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", Some("a"), "/"),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                Some("a"),
                "/",
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n",
                Some("a"),
                "/",
            ),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Some("a"), "/"),
            (
                "GET /%61?# HTTP/1.1\r\nHost: a\r\n\r\n"
                    .replace('#', "")
                    .leak(),
                Some("a"),
                "/%61",
            ),
        ] {
            let parsed = accepted(head);
            assert_eq!(
                (parsed.host.as_deref(), &*parsed.path),
                (host, path),
                "{head:?}"
            );
            assert_eq!(parsed.length, head.len());
        }
    }

    #[test]
    fn bodies_are_not_part_of_the_head() {
        let parsed = accepted("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\na\n\nb");
        assert_eq!(parsed.length, 46);
        assert_eq!(parsed.method, "PUT");
    }

    #[test]
    fn bad_heads() {
        for (status, head) in [
            (400, "GET / HTTP/1.1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
            (400, "GET / HTTP/1.1\nHost: a\n\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
            (400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /#f HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n"),
            (400, "GET http://b/ HTTP/1.1\r\n\r\n"),
            (400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /\r\n\r\n"),
            (400, "\x16\x03\x01\x02\x00\x01\x00\x01"),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
            ),
            (400, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            ),
            (
                400,
                "PUT / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (501, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
            (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
            (505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTX/1.1\r\nHost: a\r\n\r\n"),
        ] {
            match parse(head.as_bytes()) {
                Err(reject) if reject.status == status => {}
                other => panic!("{head:?}: {other:?}"),
            }
        }
        let many = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(MAX_HEADERS)
        );
        assert_eq!(parse(many.as_bytes()).unwrap_err().status, 431);
    }

    #[test]
    fn what_becomes_of_the_connection() {
        let fields = |version: &str, fields: &str| {
            accepted(&format!("PUT / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"))
        };
        for (version, connection, persistent) in [
            ("1.1", "", true),
            ("1.1", "Connection: keep-alive\r\n", true),
            ("1.1", "Connection: x, CLOSE\r\n", false),
            ("1.1", "Connection: close, keep-alive\r\n", false),
            (
                "1.1",
                "Connection: keep-alive\r\nconnection: close\r\n",
                false,
            ),
            ("1.1", "Connection: closed\r\n", true),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = fields(version, connection);
            assert_eq!(head.persistent, persistent, "{version} {connection}");
        }
        let head = fields("1.1", "Expect: 100-Continue\r\nContent-Length: 7\r\n");
        assert!(head.expects_continue && head.body == Body::Length(7));
        assert!(!fields("1.0", "Expect: 100-continue\r\n").expects_continue);
        assert!(fields("1.1", "Authorization: negotiate YII\r\n").binds);
        assert!(fields("1.1", "Authorization: NTLM TlRM\r\n").binds);
        assert!(!fields("1.1", "Authorization: Basic NTLM\r\n").binds);
        let head = fields("1.1", "Transfer-Encoding: chunked\r\n");
        assert_eq!((head.body, head.idempotent()), (Body::Chunked, true));
        assert_eq!(fields("1.1", "Content-Length: 0\r\n").body, Body::None);
        assert!(!accepted("POST / HTTP/1.1\r\nHost: a\r\n\r\n").idempotent());
    }

    #[test]
    fn any_cut_reads_the_same() {
        let head = "\r\nPUT /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nok";
        let whole = accepted(head);
        let mut reader = HeadReader::default();
        for end in 0..whole.length {
            assert_eq!(
                reader.advance(&head.as_bytes()[..end], 4096),
                Ok(None),
                "{end}"
            );
        }
        assert_eq!(reader.advance(head.as_bytes(), 4096), Ok(Some(whole)));
    }

    #[test]
    fn bad_first_lines_are_answered_before_the_head_ends() {
        let mut reader = HeadReader::default();
        assert_eq!(reader.advance(b"GET", 4096), Ok(None));
        assert_eq!(
            reader.advance(b"GET nowhere\r\n", 4096).unwrap_err().status,
            400
        );
    }

    #[test]
    fn limits() {
        let long = format!("GET /{}", "a".repeat(100));
        let mut reader = HeadReader::default();
        assert_eq!(
            reader.advance(long.as_bytes(), 105).unwrap_err().status,
            414
        );
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(100));
        let mut reader = HeadReader::default();
        assert_eq!(
            reader.advance(long.as_bytes(), 128).unwrap_err().status,
            431
        );
        // A head of exactly the limit is fine; one byte less is not.
        let fits = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(
            HeadReader::default()
                .advance(fits.as_bytes(), fits.len())
                .unwrap()
                .is_some()
        );
        assert_eq!(
            HeadReader::default()
                .advance(fits.as_bytes(), fits.len() - 1)
                .unwrap_err()
                .status,
            431
        );
    }

    #[test]
    fn responses() {
        let text = String::from_utf8(NO_ROUTE.response(false)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(head.ends_with("Connection: close"));
        assert!(NO_ROUTE.response(true).ends_with(b"\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn never_panics(stream in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&stream);
        }

        #[test]
        fn near_heads_never_panic_and_cuts_agree(
            head in "(GET|PUT|PRI|OPTIONS) [/*a?#:]{0,4} HTTP/[0-2]\\.[0-2]\r\n([HXCT][osta-]{0,3}: ?[a-z0-9,:\\[\\]]{0,6}\r?\n){0,4}\r\n",
            cut in 0usize..80,
        ) {
            let bytes = head.as_bytes();
            let whole = parse(bytes);
            let mut reader = HeadReader::default();
            let early = reader.advance(&bytes[..cut.min(bytes.len())], 4096);
            match early {
                Ok(None) => prop_assert_eq!(reader.advance(bytes, 4096), whole),
                Ok(Some(head)) => prop_assert_eq!(Ok(Some(head)), whole),
                Err(_) => prop_assert!(whole.is_err()),
            }
        }
    }
}
