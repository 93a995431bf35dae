//! What the reply subject of a delivered message says: place, stored time, deliveries.
//!
//! `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>`, and a longer
//! form with domain and account in front (and perhaps more tokens behind), which servers may switch to.

use stages::time::Time;

/// Place and time of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) deliveries: u64,
    pub(super) sequence: u64,
    pub(super) consumer_sequence: u64,
    pub(super) time: Time,
}

/// Reads it; `None` if it is not of this form.
pub(super) fn parse(reply: &str) -> Option<Place> {
    Some(split(reply)?.1)
}

/// Reads the replies of one consumer: they share all that stands before their numbers, which is more than half of
/// them and need not be taken apart again.
#[derive(Debug, Default)]
pub(super) struct Replies {
    shared: String,
}

impl Replies {
    /// As [`parse`] does.
    pub(super) fn parse(&mut self, reply: &str) -> Option<Place> {
        if let Some(rest) = reply.strip_prefix(&self.shared).filter(|_| !self.shared.is_empty())
            && let Some(place) = place(rest)
        {
            return Some(place);
        }
        let (shared, place) = split(reply)?;
        shared.clone_into(&mut self.shared);
        Some(place)
    }
}

/// What stands before the numbers, and what they say.
fn split(reply: &str) -> Option<(&str, Place)> {
    let rest = reply.strip_prefix("$JS.ACK.")?;
    let before = match rest.bytes().filter(|byte| *byte == b'.').count() {
        6 => 2,
        8.. => 4,
        _ => return None,
    };
    let (end, _) = rest.match_indices('.').nth(before - 1)?;
    let (shared, rest) = reply.split_at(reply.len() - rest.len() + end + 1);
    Some((shared, place(rest)?))
}

/// `<deliveries>.<sequence>.<consumer sequence>.<time>.` and whatever follows.
fn place(text: &str) -> Option<Place> {
    let mut rest = text.as_bytes();
    let mut number = || {
        let (mut sum, mut digits) = (0_u64, 0);
        while let [byte, tail @ ..] = rest {
            rest = tail;
            match byte {
                b'0'..=b'9' => {
                    sum = sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                    digits += 1;
                }
                b'.' => return (digits > 0).then_some(sum),
                _ => return None,
            }
        }
        None
    };
    Some(Place {
        deliveries: number()?,
        sequence: number()?,
        consumer_sequence: number()?,
        time: Time(i64::try_from(number()?).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let place =
            Some(Place { deliveries: 1, sequence: 42, consumer_sequence: 7, time: Time(1_700) });
        assert_eq!(parse("$JS.ACK.OPS_LOG.name.1.42.7.1700.3"), place);
        assert_eq!(parse("$JS.ACK._.hash.OPS_LOG.name.1.42.7.1700.3"), place);
        assert_eq!(parse("$JS.ACK.hub.hash.OPS_LOG.name.1.42.7.1700.3.token"), place);
        for wrong in ["", "$JS.ACK.a.b", "_INBOX.x", "$JS.ACK.OPS_LOG.name.1.x.7.1700.3"] {
            assert_eq!(parse(wrong), None, "{wrong}");
            assert_eq!(Replies::default().parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn replies_are_read_alike_with_and_without_those_before() {
        let mut replies = Replies::default();
        for reply in [
            "$JS.ACK.OPS_LOG.name.1.42.7.1700.3",
            "$JS.ACK.OPS_LOG.name.1.43.8.1701.2",
            "$JS.ACK.OPS_LOG.name.1.43.8.x.2",
            "$JS.ACK.OPS_LOG.other.2.44.9.1702.1",
            "$JS.ACK.hub.hash.OPS_LOG.name.1.45.10.1703.3.token",
            "$JS.ACK.hub.hash.OPS_LOG.name.1.46.11.1704.3.token",
            "$JS.ACK.hub.hash.OPS_LOG.name",
            "$JS.ACK.OPS_LOG.name.1.47.12.1705.3",
        ] {
            assert_eq!(replies.parse(reply), parse(reply), "{reply}");
        }
    }
}
