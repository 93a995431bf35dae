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
    let rest = reply.strip_prefix("$JS.ACK.")?;
    let mut tokens = [""; 9];
    let mut count = 0;
    for token in rest.split('.') {
        if let Some(slot) = tokens.get_mut(count) {
            *slot = token;
        }
        count += 1;
    }
    let first = match count {
        7 => 2,
        9.. => 4,
        _ => return None,
    };
    let mut numbers = tokens[first..first + 4].iter().map(|token| token.parse::<u64>().ok());
    Some(Place {
        deliveries: numbers.next()??,
        sequence: numbers.next()??,
        consumer_sequence: numbers.next()??,
        time: Time(i64::try_from(numbers.next()??).ok()?),
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
        }
    }
}
