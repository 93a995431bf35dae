//! The product's own metrics in Prometheus's text format, version 0.0.4.

use std::fmt::Write as _;

/// Labels of a sample.
pub type Labels<'a> = Vec<(&'a str, String)>;

/// A page of metrics being written.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    /// A family of counters; one sample per label set.
    pub fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.family(name, "counter", help, samples);
    }

    /// A family of gauges; one sample per label set.
    pub fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.family(name, "gauge", help, samples);
    }

    /// A histogram: samples with the suffix of their name.
    pub fn histogram(&mut self, name: &str, help: &str, samples: Vec<(&str, Labels<'_>, f64)>) {
        self.head(name, "histogram", help);
        for (suffix, labels, value) in samples {
            self.sample(&format!("{name}{suffix}"), &labels, value);
        }
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }

    fn family<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in samples {
            self.sample(name, &labels, value);
        }
    }

    // Writing to a String cannot fail.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, String)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", quoted(text))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A single sample without labels.
pub fn one(value: f64) -> [(Labels<'static>, f64); 1] {
    [(Vec::new(), value)]
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_wants_it() {
        let mut page = Exposition::default();
        page.counter("ops_samples_total", "Samples placed.", one(3.0));
        page.gauge("ops_lag_entries", "Entries behind.", [(vec![("log", "a\"b".to_owned())], 1.5)]);
        let expected = "# HELP ops_samples_total Samples placed.\n# TYPE ops_samples_total counter\n\
            ops_samples_total 3\n# HELP ops_lag_entries Entries behind.\n\
            # TYPE ops_lag_entries gauge\nops_lag_entries{log=\"a\\\"b\"} 1.5\n";
        assert_eq!(page.finish(), expected);
    }
}
