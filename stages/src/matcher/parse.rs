//! Matchers as text: `{service="courts", region!~"eu-.*"}`.

use super::{Matcher, MatcherError, MatcherFault, Operator};

/// Reads matchers as Prometheus writes them, `{service="courts", region!~"eu-.*"}`; the braces may be left out.
///
/// # Errors
/// The first thing wrong with the text, and where.
pub fn parse(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let mut reader = Reader { chars: text.chars().collect(), at: 0 };
    reader.blanks();
    let braces = reader.eat('{');
    let mut matchers = Vec::new();
    loop {
        reader.blanks();
        if reader.at_end(braces) {
            break;
        }
        let (began, matcher) = (reader.at, reader.matcher()?);
        matcher.check().map_err(|error| error.behind(began))?;
        matchers.push(matcher);
        reader.blanks();
        if !reader.eat(',') && !reader.at_end(braces) {
            return Err(reader.form("a comma is missing between two matchers"));
        }
    }
    if braces && !reader.eat('}') {
        return Err(reader.form("the closing } is missing"));
    }
    reader.blanks();
    if reader.at < reader.chars.len() {
        return Err(reader.form("there is text behind the matchers"));
    }
    if matchers.is_empty() {
        return Err(reader.form("there is no matcher"));
    }
    Ok(matchers)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn form(&self, what: &str) -> MatcherError {
        let remedy = "write {service=\"courts\", region!~\"eu-.*\"}";
        let fault = MatcherError::new(MatcherFault::Form, what.to_owned(), remedy);
        fault.behind(self.at.min(self.chars.len()))
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn at_end(&self, braces: bool) -> bool {
        self.peek().is_none_or(|next| braces && next == '}')
    }

    fn matcher(&mut self) -> Result<Matcher, MatcherError> {
        let begins = |next: char| !next.is_whitespace() && !"=!~,{}\"'".contains(next);
        let mut label = String::new();
        while let Some(next) = self.peek().filter(|next| begins(*next)) {
            label.push(next);
            self.at += 1;
        }
        if label.is_empty() {
            return Err(self.form("a label's name is missing"));
        }
        self.blanks();
        let op = match (self.eat('='), self.eat('!')) {
            (true, false) if self.eat('~') => Operator::Matches,
            (true, false) if self.eat('=') => return Err(self.form("one = is enough")),
            (true, false) => Operator::Equal,
            (false, true) if self.eat('=') => Operator::NotEqual,
            (false, true) if self.eat('~') => Operator::MatchesNot,
            _ => return Err(self.form("one of = != =~ !~ is missing behind the label's name")),
        };
        self.blanks();
        let value = self.quoted()?;
        Ok(Matcher { label, op, value })
    }

    /// A text in double or single quotes, `\"`, `\'`, `\\`, `\n` and `\t` inside it.
    fn quoted(&mut self) -> Result<String, MatcherError> {
        let Some(quote) = self.peek().filter(|next| matches!(next, '"' | '\'')) else {
            return Err(self.form("the value is not in quotes"));
        };
        self.at += 1;
        let mut value = String::new();
        while let Some(next) = self.peek() {
            self.at += 1;
            match next {
                next if next == quote => return Ok(value),
                '\\' => match self.peek() {
                    Some(escaped @ ('"' | '\'' | '\\')) => value.push(escaped),
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    // A pattern's own, as in "a\.b": kept, where Prometheus wants it doubled.
                    Some(other) => value.extend(['\\', other]),
                    None => break,
                },
                next => {
                    value.push(next);
                    continue;
                }
            }
            self.at += 1;
        }
        Err(self.form("the closing quote is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::PATTERN_BYTES_MAX;

    #[test]
    fn matchers_are_read_as_prometheus_writes_them() {
        let written = r#" { a = "1" , b!="2",c=~'x\.y', d!~"\"\\d" , } "#;
        let shown: Vec<String> = parse(written).unwrap().iter().map(Matcher::to_string).collect();
        assert_eq!(shown, [r#"a="1""#, r#"b!="2""#, r#"c=~"x\\.y""#, r#"d!~"\"\\d""#]);
        assert_eq!(parse(r#"a="1""#).unwrap(), [Matcher::equal("a", "1")]);
    }

    #[test]
    fn a_fault_says_where_it_stands() {
        use MatcherFault::{Form, Label, Pattern, TooLarge};
        let long = format!("a=~\"{}\"", "x".repeat(PATTERN_BYTES_MAX + 1));
        for (text, kind, at) in [
            ("", Form, 0),
            ("{}", Form, 2),
            ("a", Form, 1),
            ("a=b", Form, 2),
            ("a=\"b", Form, 4),
            ("{a=\"b\"", Form, 6),
            ("a=\"b\" c=\"d\"", Form, 6),
            ("{a=\"b\"} x", Form, 8),
            ("a=\"b\", 1c=\"d\"", Label, 7),
            ("a=\"b\", c=~\"(\"", Pattern, 7),
            ("a=~\"b)(c\"", Pattern, 0),
            ("a=~\"(x{100}){100}{100}\"", TooLarge, 0),
            (&long, TooLarge, 0),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!((fault.kind, fault.at), (kind, at), "{text}: {fault}");
            assert!(!fault.what.contains('\n') && fault.what.len() < 400, "{fault}");
        }
    }
}
