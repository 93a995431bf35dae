//! "Did you mean": the known word nearest to the one written.

/// The nearest of `known`, if it is near enough that a slip of the hand explains it: a third of the word's
/// letters, at least two.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer texts are no slips; the cap bounds the work, which grows with the product of the lengths.
    if written.len() > 100 {
        return None;
    }
    let allowed = (written.chars().count() / 3).max(2);
    known
        .into_iter()
        .filter(|word| word.len() <= 100)
        .map(|word| (distance(written, word), word))
        .filter(|(distance, word)| *distance <= allowed && *distance < word.chars().count())
        .min()
        .map(|(_, word)| word)
}

/// The one word of `known` that goes on where `written` ends: half a name is no slip of the hand, and as plain.
fn longer<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.chars().count() < 4 {
        return None;
    }
    let mut found = known.into_iter().filter(|word| word.starts_with(written));
    let first = found.next()?;
    found.all(|word| word == first).then_some(first)
}

/// `did you mean "x"?`, or `otherwise`.
pub(crate) fn did_you_mean<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = nearest(written, known.iter().copied());
    match near.or_else(|| longer(written, known.iter().copied())) {
        Some(word) => format!("did you mean {word:?}?"),
        None => otherwise(),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours between the lower-cased words (the optimal
/// string alignment distance).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(left != right);
            let mut least = replaced.min(row[j] + 1).min(above[j + 1] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_recognised_and_nonsense_is_not() {
        let known = ["threshold", "window", "for", "notify"];
        assert_eq!(nearest("treshold", known), Some("threshold"));
        assert_eq!(nearest("Windows", known), Some("window"));
        assert_eq!(nearest("xyzzy", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("maen", ["max", "mean"]), Some("mean"));
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(longer("keep_firing", ["keep_max", "keep_firing_for"]), Some("keep_firing_for"));
        assert_eq!(longer("keep", ["keep_max", "keep_firing_for"]), None);
    }
}
