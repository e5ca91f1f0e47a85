// SPDX-License-Identifier: GPL-2.0

//! Where the body of an HTTP/1 message ends.

/// How the length of a body is known; RFC 9112, section 6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// As many bytes.
    Length(u64),
    /// To the end of its last chunk's trailers.
    Chunked,
    /// To the end of the connection. Of responses only.
    ToClose,
}

/// Most bytes of the line that begins a chunk, its extensions included.
const MAX_LINE: usize = 4096;
/// Most bytes of the trailers.
const MAX_TRAILERS: usize = 16 * 1024;

/// The bytes are no chunked body, or one that two readers could understand differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within the digits of a size.
    Size,
    /// Within what follows a size on its line.
    Extension,
    /// After the CR of that line.
    SizeEnd,
    /// Within the bytes of a chunk; `left` of them are to come.
    Data,
    /// After the last byte of a chunk.
    DataCr,
    /// After the CR that follows it.
    DataEnd,
    /// At the beginning of a line of trailers.
    Line,
    /// Within one.
    Trailer,
    /// After its CR.
    TrailerEnd,
    /// After the CR of the empty line that ends all.
    LastEnd,
    /// Behind it.
    Done,
}

/// Finds the end of a chunked body in a stream that comes in any pieces, and changes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    state: State,
    /// Of the chunk's size while it is read, then the bytes of it that are to come.
    left: u64,
    /// Bytes of this line, or of all trailers.
    line: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Chunked {
            state: State::Size,
            left: 0,
            line: 0,
        }
    }
}

impl Chunked {
    /// Takes note of the next bytes of the stream; returns how many of them are of the body. Fewer
    /// than all only when the body ends there.
    ///
    /// # Errors
    ///
    /// Once the stream can be no chunked body any more. Nothing of `bytes` should be sent on then.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Done => break,
                State::Data => {
                    let here = (bytes.len() - at) as u64;
                    let taken = here.min(self.left);
                    self.carried(taken);
                    // It is at most the length of a slice.
                    at += usize::try_from(taken).unwrap_or(0);
                    continue;
                }
                _ => self.step(byte)?,
            }
            at += 1;
        }
        Ok(at)
    }

    /// Whether the body has ended.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes that are certain to come next, since they are of a chunk whose size is known.
    pub fn certain(&self) -> u64 {
        match self.state {
            State::Data => self.left,
            _ => 0,
        }
    }

    /// Takes note that so many of the [`certain`](Self::certain) bytes went another way.
    pub fn carried(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 && self.state == State::Data {
            self.state = State::DataCr;
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.line += 1;
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                self.left = self
                    .left
                    .checked_mul(16)
                    .map(|size| size | u64::from(digit))
                    .ok_or(Malformed("a chunk larger than can be counted"))?;
                State::Size
            }
            (State::Size, b'\r' | b';') if self.line == 1 => {
                return Err(Malformed("a chunk without a size"));
            }
            (State::Size, b'\r') | (State::Extension, b'\r') => State::SizeEnd,
            (State::Size, b';') => State::Extension,
            (State::Size, _) => return Err(Malformed("a bad chunk size")),
            // What a control character means there, nobody agrees on.
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => State::Extension,
            (State::Extension, _) => return Err(Malformed("a bad chunk extension")),
            (State::SizeEnd, b'\n') => {
                self.line = 0;
                if self.left == 0 {
                    State::Line
                } else {
                    State::Data
                }
            }
            (State::DataCr, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => {
                self.line = 0;
                State::Size
            }
            (State::DataCr | State::DataEnd, _) => {
                return Err(Malformed("a chunk longer than its size"));
            }
            (State::Line, b'\r') => State::LastEnd,
            (State::Line, b' ' | b'\t') => return Err(Malformed("a folded trailer")),
            (State::Line | State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => State::Trailer,
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::Line | State::Trailer, _) => return Err(Malformed("a bad trailer")),
            (State::TrailerEnd, b'\n') => State::Line,
            (State::LastEnd, b'\n') => State::Done,
            (State::SizeEnd | State::TrailerEnd | State::LastEnd, _) => {
                return Err(Malformed("a CR without a LF"));
            }
            // Not asked for these.
            (State::Data | State::Done, _) => self.state,
        };
        let limit = match self.state {
            State::Size | State::Extension | State::SizeEnd => MAX_LINE,
            _ => MAX_TRAILERS,
        };
        if self.line > limit {
            return Err(Malformed("a line of a chunked body is too long"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The length of a whole body, found another way: line by line.
    fn reference(stream: &[u8]) -> Option<usize> {
        let line = |from: usize| {
            let rest = stream.get(from..)?;
            let end = rest.windows(2).position(|w| w == b"\r\n")?;
            Some((std::str::from_utf8(&rest[..end]).ok()?, from + end + 2))
        };
        let mut at = 0;
        loop {
            let (size, data) = line(at)?;
            let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
            if size == 0 {
                at = data;
                break;
            }
            if stream.get(data + size..data + size + 2)? != b"\r\n" {
                return None;
            }
            at = data + size + 2;
        }
        loop {
            let (trailer, next) = line(at)?;
            at = next;
            if trailer.is_empty() {
                return Some(at);
            }
        }
    }

    /// Chunks as a message has them.
    pub(crate) fn chunked(chunks: &[Vec<u8>], extension: &str, trailers: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            out.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes());
            out.extend(chunk);
            out.extend(b"\r\n");
        }
        out.extend(format!("00{extension}\r\n").bytes());
        for trailer in trailers {
            out.extend(format!("{trailer}\r\n").bytes());
        }
        out.extend(b"\r\n");
        out
    }

    #[test]
    fn bad_bodies() {
        for (bad, at) in [
            ("\r\n", 1),
            (";x\r\n", 1),
            ("g\r\n", 1),
            (" 5\r\n", 1),
            ("5 \r\n", 2),
            ("+5\r\n", 1),
            ("0x5\r\n", 2),
            ("5\nhello", 2),
            ("5\rhello", 3),
            ("5;a\nb", 4),
            ("5;a\0", 4),
            ("10000000000000000\r\n", 17),
            ("5\r\nhello5\r\n", 9),
            ("5\r\nhello\r0", 10),
            ("5\r\nhello\n0", 9),
            ("0\r\n\n", 4),
            ("0\r\nX: y\n", 8),
            ("0\r\nX: y\rz", 9),
            ("0\r\n fold\r\n", 4),
            ("0\r\nX: \0", 7),
            ("0\r\n\rX", 5),
        ] {
            // The byte at fault is the one named, not a later one.
            assert_eq!(
                Chunked::default().advance(&bad.as_bytes()[..at - 1]),
                Ok(at - 1),
                "{bad:?}"
            );
            assert!(
                Chunked::default().advance(&bad.as_bytes()[..at]).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn lines_have_an_end() {
        let long = format!("5;{}", "a".repeat(MAX_LINE));
        assert!(Chunked::default().advance(long.as_bytes()).is_err());
        let trailers = format!("0\r\n{}", "X: y\r\n".repeat(MAX_TRAILERS / 6 + 1));
        assert!(Chunked::default().advance(trailers.as_bytes()).is_err());
        // The limit is of each line: many chunks are as good as one.
        let many = "1\r\na\r\n".repeat(MAX_LINE) + "0\r\n\r\n";
        assert_eq!(Chunked::default().advance(many.as_bytes()), Ok(many.len()));
    }

    #[test]
    fn a_chunk_may_go_another_way() {
        let mut body = Chunked::default();
        assert_eq!(body.advance(b"ffffffff0\r\nab"), Ok(13));
        assert_eq!(body.certain(), 0xf_ffff_fff0 - 2);
        body.carried(0xf_ffff_fff0 - 3);
        assert_eq!((body.certain(), body.done()), (1, false));
        body.carried(1);
        assert_eq!(body.certain(), 0);
        assert_eq!(body.advance(b"\r\n0\r\n\r\nGET"), Ok(7));
        assert!(body.done());
        assert_eq!(body.advance(b"GET"), Ok(0));
    }

    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let chunk = proptest::collection::vec(any::<u8>(), 0..40);
        (
            proptest::collection::vec(chunk, 0..6),
            "(;[a-z]{0,4}(=\"?[ -!#-~]{0,6}\"?)?){0,2}",
            proptest::collection::vec("[A-Za-z-]{1,5}: ?[!-~ ]{0,8}", 0..3),
        )
            .prop_map(|(chunks, extension, trailers)| chunked(&chunks, &extension, &trailers))
    }

    proptest! {
        #[test]
        fn any_cut_ends_at_the_same_byte(
            body in bodies(),
            tail in proptest::collection::vec(any::<u8>(), 0..20),
            cuts in proptest::collection::vec(1usize..30, 1..20),
        ) {
            let stream = [body.clone(), tail].concat();
            prop_assert_eq!(reference(&stream), Some(body.len()));
            let mut whole = Chunked::default();
            prop_assert_eq!(whole.advance(&stream), Ok(body.len()));
            let mut reader = Chunked::default();
            let (mut at, mut taken) = (0, 0);
            for cut in cuts.iter().cycle() {
                let piece = &stream[at..(at + cut).min(stream.len())];
                taken += reader.advance(piece).unwrap();
                at += piece.len();
                prop_assert_eq!(reader.done(), at >= body.len());
                if at == stream.len() {
                    break;
                }
            }
            prop_assert_eq!(taken, body.len());
            prop_assert_eq!(reader, whole);
        }

        #[test]
        fn what_is_damaged_never_panics_and_cuts_agree(
            body in bodies(),
            at in any::<prop::sample::Index>(),
            with in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut body = body;
            let at = at.index(body.len());
            body[at] = with;
            let mut whole = Chunked::default();
            let expected = whole.advance(&body);
            let (first, second) = body.split_at(cut.index(body.len()));
            let mut reader = Chunked::default();
            let found = reader.advance(first).and_then(|n| Ok(n + reader.advance(second)?));
            prop_assert_eq!(found, expected);
        }
    }
}
