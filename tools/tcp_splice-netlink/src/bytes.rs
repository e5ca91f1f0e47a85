// SPDX-License-Identifier: GPL-2.0

//! Bytes of a stream, in text as hexadecimal digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Bytes of any meaning. In text they are two hexadecimal digits each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
        let mut text = String::with_capacity(2 * self.0.len());
        for byte in &self.0 {
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        serializer.serialize_str(&text)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What is no digit.
const NONE: u8 = 16;

/// The value of each character that is a digit.
static VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        let digit = DIGITS[value];
        values[digit as usize] = value as u8;
        values[digit.to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    values
};

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

struct Digits;

impl de::Visitor<'_> for Digits {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes, each as two hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        let pairs = text.as_bytes().chunks_exact(2);
        let odd = !pairs.remainder().is_empty();
        let mut any = 0;
        let bytes = pairs
            .map(|pair| {
                let [high, low] = [pair[0], pair[1]].map(|c| VALUES[usize::from(c)]);
                any |= high | low;
                (high << 4) | low
            })
            .collect();
        if odd || any & NONE != 0 {
            // Without the text, which may be somebody's secret.
            return Err(E::custom("bytes are pairs of hexadecimal digits"));
        }
        Ok(Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pairs_of_digits() {
        let bytes = Bytes(vec![0, 0x1f, 0xff]);
        let text = serde_json::to_string(&bytes).expect("it can be written");
        assert_eq!(text, "\"001fff\"");
        assert_eq!(serde_json::from_str::<Bytes>(&text).ok(), Some(bytes));
        let large = serde_json::from_str::<Bytes>("\"00AbFf\"");
        assert_eq!(large.ok(), Some(Bytes(vec![0, 0xab, 0xff])));
        let all = Bytes((0..=255).collect());
        let text = serde_json::to_string(&all).expect("it can be written");
        assert_eq!(serde_json::from_str::<Bytes>(&text).ok(), Some(all));
        for wrong in ["\"001\"", "\"0g\"", "\"@0\"", "\"\u{e4}\"", "7"] {
            assert!(serde_json::from_str::<Bytes>(wrong).is_err(), "{wrong}");
        }
    }
}
