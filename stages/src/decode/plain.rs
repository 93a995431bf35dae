//! The usual message without a parser: one object with `name`, `ts`, `val`, `id` in any order, no escapes,
//! no labels. A shortcut, never another opinion: whatever it does not know it leaves to serde.

use super::json::{Ts, Unchecked};
use crate::batch::Kind;
use crate::series::Labels;
use std::borrow::Cow;

/// The sample in `bytes` if they are of the usual form.
pub(super) fn read(bytes: &[u8]) -> Option<Unchecked<'_>> {
    let mut rest = Scan(bytes);
    rest.space();
    rest.take(b'{')?;
    let (mut name, mut value, mut time, mut id) = (None, None, None, None);
    loop {
        rest.space();
        let key = rest.text()?;
        rest.space();
        rest.take(b':')?;
        rest.space();
        let fresh = match key {
            "name" => name.replace(rest.text()?).is_none(),
            "id" => id.replace(rest.text()?).is_none(),
            "val" => value.replace(rest.number()?.parse::<f64>().ok()?).is_none(),
            "ts" => time.replace(Ts::Whole(rest.number()?.parse().ok()?)).is_none(),
            _ => return None,
        };
        if !fresh {
            return None;
        }
        rest.space();
        match rest.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    rest.space();
    rest.0.is_empty().then_some(())?;
    Some(Unchecked {
        name: Cow::Borrowed(name?),
        labels: Labels::new(),
        kind: Kind::Gauge,
        time,
        value: value?,
        id: id.map(Cow::Borrowed),
    })
}

struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    fn space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// A text of plain ASCII without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let end = self
            .0
            .iter()
            .position(|byte| !matches!(byte, 0x20..=0x7e) || *byte == b'"' || *byte == b'\\')?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        self.take(b'"')?;
        std::str::from_utf8(text).ok()
    }

    /// A number as JSON writes it: no plus sign, no leading zero, digits on both sides of the point.
    fn number(&mut self) -> Option<&'a str> {
        let all = self.0;
        let digits = |scan: &mut Self| {
            let count = scan.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            scan.0 = &scan.0[count..];
            (count > 0).then_some(count)
        };
        if self.0.first() == Some(&b'-') {
            self.0 = &self.0[1..];
        }
        let leading_zero = self.0.first() == Some(&b'0');
        if digits(self)? > 1 && leading_zero {
            return None;
        }
        if self.0.first() == Some(&b'.') {
            self.0 = &self.0[1..];
            digits(self)?;
        }
        if let Some(b'e' | b'E') = self.0.first() {
            self.0 = &self.0[1..];
            if let Some(b'+' | b'-') = self.0.first() {
                self.0 = &self.0[1..];
            }
            digits(self)?;
        }
        std::str::from_utf8(&all[..all.len() - self.0.len()]).ok()
    }
}
