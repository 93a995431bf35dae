//! Names of metrics and labels: what is allowed, and the identity of a series.

use std::collections::BTreeMap;

/// Longest name of a metric, in bytes: it is a subject on the bus and a key of every table.
pub const NAME_BYTES_MAX: usize = 200;
/// Most labels a sample may carry.
pub const LABELS_MAX: usize = 32;
/// Longest label name, in bytes.
pub const LABEL_NAME_BYTES_MAX: usize = 128;
/// Longest label value, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 1024;

/// Labels of a series, sorted by name.
pub type Labels = BTreeMap<String, String>;

/// Why a name or a label is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name at all.
    #[error("the name is empty")]
    Empty,
    /// Longer than its limit.
    #[error("the name has {0} bytes; at most {1}")]
    TooLong(usize, usize),
    /// A character that does not belong there.
    #[error(
        "{0:?} is not allowed; write [A-Za-z_:] first, then [A-Za-z0-9_:.-], with no empty part between dots"
    )]
    Metric(String),
    /// A label name that Prometheus would refuse.
    #[error("label name {0:?} is not allowed; write [A-Za-z_][A-Za-z0-9_]*")]
    Label(String),
    /// A label value with one of the two separators of [`series_key`].
    #[error("the value of label {0:?} has a control character U+001E or U+001F")]
    Separator(String),
    /// More labels than [`LABELS_MAX`].
    #[error("{0} labels; at most {LABELS_MAX}")]
    TooManyLabels(usize),
}

/// Checks a metric's name: `[A-Za-z_:][A-Za-z0-9_:.-]*`, no empty part between dots, at most 200 bytes.
///
/// # Errors
/// What is wrong with it; long names are not repeated in the error.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(name.len(), NAME_BYTES_MAX));
    }
    let head = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':');
    // One pass, for it runs once a sample: `.` may stand behind anything but `.` and the beginning.
    let mut before = b'.';
    for byte in name.bytes() {
        let tail = NAME_BYTES[usize::from(byte)];
        if !tail || (byte == b'.' && before == b'.') {
            return Err(NameError::Metric(name.to_owned()));
        }
        before = byte;
    }
    if head(name.as_bytes()[0]) && before != b'.' {
        Ok(())
    } else {
        Err(NameError::Metric(name.to_owned()))
    }
}

/// The bytes `[A-Za-z0-9_:.-]`.
const NAME_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        allowed[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.' | b'-');
        byte += 1;
    }
    allowed
};

/// Checks the labels of one sample: names as in Prometheus, lengths and number bounded.
///
/// # Errors
/// The first thing wrong with them.
pub fn check_labels(labels: &Labels) -> Result<(), NameError> {
    check_label_pairs(labels.iter().map(|(name, value)| (&**name, &**value)))
}

/// [`check_labels`] for labels that are not in a map, sorted by name.
///
/// # Errors
/// The first thing wrong with them.
pub fn check_label_pairs<'a>(
    labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Result<(), NameError> {
    if labels.len() > LABELS_MAX {
        return Err(NameError::TooManyLabels(labels.len()));
    }
    for (name, value) in labels {
        if name.len() > LABEL_NAME_BYTES_MAX {
            return Err(NameError::TooLong(name.len(), LABEL_NAME_BYTES_MAX));
        }
        if value.len() > LABEL_VALUE_BYTES_MAX {
            return Err(NameError::TooLong(value.len(), LABEL_VALUE_BYTES_MAX));
        }
        // To the end even if one was met: without a way out it is eight bytes and more at a time.
        if value.bytes().fold(false, |met, byte| met | matches!(byte, 0x1e | 0x1f)) {
            return Err(NameError::Separator(name.to_owned()));
        }
        let bytes = name.as_bytes();
        let word = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if bytes.is_empty() || !word || bytes[0].is_ascii_digit() {
            return Err(NameError::Label(name.to_owned()));
        }
    }
    Ok(())
}

/// The identity of a series as one text: the metric's name, then each label as `\x1f name \x1e value`.
/// Sorted labels make it unique; the separators cannot stand in a name.
pub fn series_key(metric: &str, labels: &Labels) -> String {
    let mut key = metric.to_owned();
    for (name, value) in labels {
        extend_key(&mut key, name, value);
    }
    key
}

/// Adds one label to a key; they come sorted by name.
pub(crate) fn extend_key(key: &mut String, name: &str, value: &str) {
    key.push('\u{1f}');
    key.push_str(name);
    key.push('\u{1e}');
    key.push_str(value);
}

/// The metric's name and the labels behind a key made by [`series_key`].
pub fn split_key(key: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let mut parts = key.split('\u{1f}');
    let metric = parts.next().unwrap_or_default();
    (metric, parts.map(|pair| pair.split_once('\u{1e}').unwrap_or((pair, ""))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_to_the_letter() {
        for name in ["county_api_ms", "a", ":x:y", "svc.api-v2.ms", "_1"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "1a", ".a", "a.", "a..b", "a b", "a*", "a>", "é", "a\n", &"x".repeat(201)]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn labels_are_bounded() {
        let labels =
            |count: usize| (0..count).map(|n| (format!("l{n}"), String::new())).collect::<Labels>();
        assert_eq!(check_labels(&labels(LABELS_MAX)), Ok(()));
        assert_eq!(check_labels(&labels(10_000)), Err(NameError::TooManyLabels(10_000)));
        assert!(check_labels(&Labels::from([("0bad".into(), String::new())])).is_err());
        assert!(check_labels(&Labels::from([("ok".into(), "v".repeat(1025))])).is_err());
    }

    #[test]
    fn a_key_splits_into_what_made_it() {
        let labels = Labels::from([("b".into(), "2".into()), ("a".into(), "x=1,y".into())]);
        let key = series_key("m.ms", &labels);
        let (metric, pairs) = split_key(&key);
        assert_eq!(metric, "m.ms");
        assert_eq!(pairs.collect::<Vec<_>>(), [("a", "x=1,y"), ("b", "2")]);
    }
}
