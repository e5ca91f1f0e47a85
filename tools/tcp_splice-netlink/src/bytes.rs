// SPDX-License-Identifier: GPL-2.0

//! Bytes of a stream, in text as hexadecimal digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes of any meaning. In text they are two hexadecimal digits each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
        let text: String = self
            .0
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => {
                let byte = |pair: &[u32]| ((pair[0] << 4) | pair[1]) as u8;
                Ok(Bytes(digits.chunks_exact(2).map(byte).collect()))
            }
            _ => Err(de::Error::custom("bytes are pairs of hexadecimal digits")),
        }
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
        for wrong in ["\"001\"", "\"0g\"", "7"] {
            assert!(serde_json::from_str::<Bytes>(wrong).is_err(), "{wrong}");
        }
    }
}
