//! The optional bearer token.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use std::fmt;

/// A secret that may be compared but not shown.
#[derive(Clone)]
pub struct Token(Box<[u8]>);

impl Token {
    /// A token as read from where it is kept; `None` if there is nothing in it.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.as_bytes().into()))
    }

    /// Whether the request carries it, as `Authorization: Bearer <token>`.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(AUTHORIZATION) else { return false };
        match value.as_bytes().split_at_checked(7) {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
                self.equals(given.trim_ascii())
            }
            _ => false,
        }
    }

    /// Takes as long for a wrong token as for the right one, so the time says nothing about it.
    fn equals(&self, given: &[u8]) -> bool {
        let mut difference = self.0.len() ^ given.len();
        for (index, byte) in given.iter().enumerate() {
            let own = self.0.get(index).copied().unwrap_or(!byte);
            difference |= usize::from(own ^ byte);
        }
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(token: &str, header: &'static str) -> bool {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
        Token::new(token).unwrap().is_in(&headers)
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        assert!(asked("s3cret\n", "Bearer s3cret"));
        assert!(asked("s3cret", "bearer  s3cret"));
        for wrong in
            ["Bearer s3cre", "Bearer s3cret0", "Bearer ", "Bearer", "s3cret", "Basic s3cret", ""]
        {
            assert!(!asked("s3cret", wrong), "{wrong}");
        }
        assert!(!Token::new("s3cret").unwrap().is_in(&HeaderMap::new()));
        assert!(Token::new(" \n").is_none());
        assert_eq!(format!("{:?}", Token::new("s3cret")), "Some(Token(***))");
    }
}
