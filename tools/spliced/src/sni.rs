// SPDX-License-Identifier: GPL-2.0

//! The server name and the protocols that a TLS ClientHello offers, read without terminating TLS.
//!
//! Why not a library: rustls' `Acceptor` applies the rules of a server that terminates (it refuses
//! a TLS 1.0 hello, which a backend may accept), and tls-parser stops silently at a malformed list
//! entry, so that a broken server name would look like none and take the default route. What is
//! left is a walk over nested lengths.

use thiserror::Error;

use crate::host::normal_name;

/// What a ClientHello says about where it wants to go.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// Name of the server_name extension, as [`normal_name`] writes it.
    pub server_name: Option<String>,
    /// Protocols of the ALPN extension, in the client's order.
    pub alpn: Vec<Vec<u8>>,
}

/// Why bytes are not a ClientHello that can be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HelloError {
    /// The first record is not a TLS handshake record.
    #[error("not TLS")]
    NotTls,
    /// The records or the message contradict themselves or RFC 8446.
    #[error("malformed ClientHello: {0}")]
    Malformed(&'static str),
    /// The message is announced, or has grown, beyond the limit.
    #[error("ClientHello larger than the limit")]
    TooLarge,
}

/// The fatal alerts that the proxy sends; RFC 8446, section 6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// The ClientHello could not be decoded.
    DecodeError = 50,
    /// No backend can be reached.
    InternalError = 80,
    /// No route for this server name.
    UnrecognizedName = 112,
}

impl Alert {
    /// The alert as a record, readable before any version is agreed.
    pub fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, self as u8]
    }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const MAX_RECORD: usize = 1 << 14;
const EXT_SERVER_NAME: u16 = 0;
const EXT_ALPN: u16 = 16;

/// Takes the handshake message out of its records, however both are cut.
#[derive(Debug)]
pub struct HelloReader {
    limit: usize,
    /// Bytes of the stream already looked at.
    seen: usize,
    /// Bytes that the present record still has.
    record_left: usize,
    message: Vec<u8>,
}

impl HelloReader {
    /// A reader that refuses messages of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        HelloReader {
            limit,
            seen: 0,
            record_left: 0,
            message: Vec::new(),
        }
    }

    /// Looks at the stream so far; `stream` begins with what earlier calls were given. `None` as
    /// long as the ClientHello is not complete.
    ///
    /// # Errors
    ///
    /// As soon as the bytes cannot become an acceptable ClientHello any more.
    pub fn advance(&mut self, stream: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        loop {
            let rest = stream.get(self.seen..).unwrap_or_default();
            if self.record_left == 0 {
                self.record_left = match record_header(rest, self.seen == 0)? {
                    Some(length) => length,
                    None => return Ok(None),
                };
                self.seen += RECORD_HEADER;
                continue;
            }
            let part = &rest[..rest.len().min(self.record_left)];
            if part.is_empty() {
                return Ok(None);
            }
            self.seen += part.len();
            self.record_left -= part.len();
            self.message.extend_from_slice(part);
            if let Some(body) = self.body()? {
                return parse(body).map(Some);
            }
        }
    }

    /// The message without its header, once it is complete.
    fn body(&self) -> Result<Option<&[u8]>, HelloError> {
        match self.message.first() {
            Some(&CLIENT_HELLO) => {}
            Some(_) => return Err(HelloError::Malformed("the first message is another one")),
            None => return Ok(None),
        }
        let Some(&[_, a, b, c]) = self.message.first_chunk::<MESSAGE_HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > self.limit.saturating_sub(MESSAGE_HEADER) {
            return Err(HelloError::TooLarge);
        }
        Ok(self.message.get(MESSAGE_HEADER..MESSAGE_HEADER + length))
    }
}

/// Length of the record that starts here; fails on the first byte that is wrong.
fn record_header(bytes: &[u8], first: bool) -> Result<Option<usize>, HelloError> {
    let wrong = |why| {
        if first {
            HelloError::NotTls
        } else {
            HelloError::Malformed(why)
        }
    };
    if bytes.first().is_some_and(|&kind| kind != HANDSHAKE) {
        return Err(wrong("interrupted by another record type"));
    }
    if bytes.get(1).is_some_and(|&major| major != 3) {
        return Err(wrong("record version"));
    }
    let Some(&[_, _, _, high, low]) = bytes.first_chunk::<RECORD_HEADER>() else {
        return Ok(None);
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        0 => Err(HelloError::Malformed("empty record")),
        length if length > MAX_RECORD => Err(HelloError::Malformed("record too long")),
        length => Ok(Some(length)),
    }
}

/// Reads big-endian fields and length-prefixed vectors off the front.
struct Fields<'a>(&'a [u8]);

const SHORT: HelloError = HelloError::Malformed("a length points beyond the end");

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], HelloError> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(front)
    }

    fn u8(&mut self) -> Result<u8, HelloError> {
        let (&first, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(first)
    }

    fn u16(&mut self) -> Result<u16, HelloError> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn vec8(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.u8()?;
        self.take(length.into())
    }

    fn vec16(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.u16()?;
        self.take(length.into())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads the body of a ClientHello; RFC 8446, section 4.1.2.
fn parse(body: &[u8]) -> Result<ClientHello, HelloError> {
    let mut hello = ClientHello::default();
    let mut fields = Fields(body);
    fields.u16()?; // legacy_version
    fields.take(32)?; // random
    if fields.vec8()?.len() > 32 {
        return Err(HelloError::Malformed("session id too long"));
    }
    let ciphers = fields.vec16()?.len();
    if ciphers == 0 || ciphers % 2 != 0 {
        return Err(HelloError::Malformed("cipher suites"));
    }
    if fields.vec8()?.is_empty() {
        return Err(HelloError::Malformed("compression methods"));
    }
    if fields.is_empty() {
        return Ok(hello); // No extensions at all: legal before TLS 1.3.
    }
    let mut extensions = Fields(fields.vec16()?);
    if !fields.is_empty() {
        return Err(HelloError::Malformed("bytes after the extensions"));
    }
    let (mut names, mut protocols) = (0, 0);
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.vec16()?;
        match kind {
            EXT_SERVER_NAME => {
                names += 1;
                hello.server_name = Some(server_name(content)?);
            }
            EXT_ALPN => {
                protocols += 1;
                hello.alpn = alpn(content)?;
            }
            _ => {}
        }
    }
    // Which of two would the backend take?
    if names > 1 || protocols > 1 {
        return Err(HelloError::Malformed("an extension occurs twice"));
    }
    Ok(hello)
}

/// RFC 6066, section 3: a list with at most one name of each type; only host_name (0) exists.
fn server_name(content: &[u8]) -> Result<String, HelloError> {
    let mut fields = Fields(content);
    let mut list = Fields(fields.vec16()?);
    let kind = list.u8()?;
    let name = list.vec16()?;
    if kind != 0 || !list.is_empty() || !fields.is_empty() {
        return Err(HelloError::Malformed("server name list"));
    }
    std::str::from_utf8(name)
        .ok()
        .and_then(normal_name)
        .ok_or(HelloError::Malformed("server name"))
}

/// RFC 7301, section 3.1.
fn alpn(content: &[u8]) -> Result<Vec<Vec<u8>>, HelloError> {
    let mut fields = Fields(content);
    let mut list = Fields(fields.vec16()?);
    if list.is_empty() || !fields.is_empty() {
        return Err(HelloError::Malformed("protocol list"));
    }
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let protocol = list.vec8()?;
        if protocol.is_empty() {
            return Err(HelloError::Malformed("empty protocol name"));
        }
        protocols.push(protocol.to_vec());
    }
    Ok(protocols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes of a file of hexadecimal digits; `#` starts a comment.
    fn bytes(text: &str) -> Vec<u8> {
        let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect()
    }

    fn tls13() -> Vec<u8> {
        bytes(include_str!("../tests/data/hello-tls13-alpn.hex"))
    }

    fn read(stream: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        HelloReader::new(1 << 16).advance(stream)
    }

    /// The same message, in records of at most `size` bytes.
    fn rerecord(stream: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for part in stream[RECORD_HEADER..].chunks(size) {
            out.extend([HANDSHAKE, 3, 1]);
            out.extend((part.len() as u16).to_be_bytes());
            out.extend(part);
        }
        out
    }

    /// A ClientHello with these extensions and nothing else of interest.
    fn hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut list = Vec::new();
        for (kind, content) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend((content.len() as u16).to_be_bytes());
            list.extend(*content);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend((list.len() as u16).to_be_bytes());
        body.extend(list);
        let mut stream = vec![HANDSHAKE, 3, 1];
        stream.extend((body.len() as u16 + 4).to_be_bytes());
        stream.push(CLIENT_HELLO);
        stream.extend(&(body.len() as u32).to_be_bytes()[1..]);
        stream.extend(body);
        stream
    }

    #[test]
    fn real_hellos() {
        let hello = read(&tls13()).unwrap().unwrap();
        assert_eq!(hello.server_name.as_deref(), Some("secure.example"));
        assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);

        let hello = read(&bytes(include_str!("../tests/data/hello-no-sni.hex")))
            .unwrap()
            .unwrap();
        assert_eq!(hello, ClientHello::default());

        let hello = read(&bytes(include_str!("../tests/data/hello-tls10.hex")))
            .unwrap()
            .unwrap();
        assert_eq!(hello.server_name.as_deref(), Some("old.example"));
    }

    #[test]
    fn any_cut_into_segments_and_records_reads_the_same() {
        let whole = read(&tls13()).unwrap();
        for size in [1, 2, 3, 4, 5, 100, 511] {
            let stream = rerecord(&tls13(), size);
            let mut reader = HelloReader::new(1 << 16);
            for end in 0..stream.len() {
                assert_eq!(reader.advance(&stream[..end]), Ok(None), "{size} {end}");
            }
            assert_eq!(reader.advance(&stream).unwrap(), whole, "{size}");
        }
    }

    #[test]
    fn bytes_after_the_hello_are_not_looked_at() {
        let mut stream = tls13();
        stream.extend([23, 3, 3, 0, 1, 0]);
        assert!(read(&stream).unwrap().is_some());
    }

    #[test]
    fn names_are_brought_to_one_form() {
        let stream = hello(&[(0, b"\0\x0c\0\0\x09A.Example")]);
        assert_eq!(
            read(&stream).unwrap().unwrap().server_name.as_deref(),
            Some("a.example")
        );
    }

    #[test]
    fn refusals() {
        use HelloError::*;
        type Case = (&'static str, Vec<u8>, fn(&HelloError) -> bool);
        let cases: [Case; 17] = [
            ("http", b"GET / HTTP/1.1\r\n".to_vec(), |e| *e == NotTls),
            ("sslv2", vec![0x80, 0x2e, 1, 3, 1], |e| *e == NotTls),
            ("alert", vec![21, 3, 1], |e| *e == NotTls),
            ("version", vec![22, 2], |e| *e == NotTls),
            ("empty record", vec![22, 3, 1, 0, 0], |e| {
                matches!(e, Malformed(_))
            }),
            ("long record", vec![22, 3, 1, 0x40, 1], |e| {
                matches!(e, Malformed(_))
            }),
            ("server hello", vec![22, 3, 1, 0, 4, 2], |e| {
                matches!(e, Malformed(_))
            }),
            ("huge", vec![22, 3, 1, 0, 4, 1, 1, 0, 0], |e| *e == TooLarge),
            ("interrupted", vec![22, 3, 1, 0, 1, 1, 23], |e| {
                matches!(e, Malformed(_))
            }),
            (
                "two names",
                hello(&[(0, b"\0\x04\0\0\x01a"), (0, b"\0\x04\0\0\x01b")]),
                |e| matches!(e, Malformed(_)),
            ),
            (
                "two in a list",
                hello(&[(0, b"\0\x08\0\0\x01a\0\0\x01b")]),
                |e| matches!(e, Malformed(_)),
            ),
            ("empty list", hello(&[(0, b"\0\0")]), |e| {
                matches!(e, Malformed(_))
            }),
            ("empty name", hello(&[(0, b"\0\x03\0\0\0")]), |e| {
                matches!(e, Malformed(_))
            }),
            ("bad name", hello(&[(0, b"\0\x06\0\0\x03a/b")]), |e| {
                matches!(e, Malformed(_))
            }),
            ("name too long", hello(&[(0, b"\0\x04\0\0\x02a")]), |e| {
                matches!(e, Malformed(_))
            }),
            ("alpn empty", hello(&[(16, b"\0\x01\0")]), |e| {
                matches!(e, Malformed(_))
            }),
            ("alpn trailing", hello(&[(16, b"\0\x03\x02h2x")]), |e| {
                matches!(e, Malformed(_))
            }),
        ];
        for (what, stream, expected) in cases {
            match read(&stream) {
                Err(error) if expected(&error) => {}
                other => panic!("{what}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_limit_counts_the_whole_message() {
        let stream = tls13();
        let message = stream.len() - RECORD_HEADER;
        assert!(
            HelloReader::new(message)
                .advance(&stream)
                .unwrap()
                .is_some()
        );
        assert_eq!(
            HelloReader::new(message - 1).advance(&stream),
            Err(HelloError::TooLarge)
        );
    }

    #[test]
    fn a_body_cut_short_is_malformed_not_nameless() {
        let stream = hello(&[(0, b"\0\x06\0\0\x03a.b"), (16, b"\0\x03\x02h2")]);
        let body = &stream[RECORD_HEADER + MESSAGE_HEADER..];
        let extensions = 2 + 32 + 1 + 4 + 2;
        for end in 0..body.len() {
            // Up to the compression methods a shorter body is an older hello without extensions.
            let result = parse(&body[..end]);
            assert_eq!(result.is_ok(), end == extensions, "{end}");
        }
        assert!(parse(body).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics(stream in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&stream);
            let _ = parse(&stream);
        }

        #[test]
        fn damaged_hellos_never_panic(
            hits in proptest::collection::vec((0usize..517, any::<u8>()), 1..6),
            end in 0usize..=517,
            size in 1usize..600,
        ) {
            let mut stream = tls13();
            for (at, value) in hits {
                stream[at] = value;
            }
            let _ = read(&stream[..end]);
            let _ = read(&rerecord(&stream, size));
        }
    }
}
