//! The text format 0.0.4 of Prometheus ("Exposition formats").

use std::fmt::{Display, Write};

use super::histogram::{BOUNDS_US, Histogram};

/// A page that is being written.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// A number that only grows; its name ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(name, "", "", value);
    }

    /// A number as it is now.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "gauge");
        self.line(name, "", "", value);
    }

    /// Numbers that only grow, told apart by a label whose values are a fixed set of ours.
    pub fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.head(name, help, "counter");
        for (which, value) in values {
            self.line(name, "", &format!("{{{label}=\"{which}\"}}"), value);
        }
    }

    /// The same with two labels.
    pub fn counters_of_two<'a>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; 2],
        values: impl IntoIterator<Item = ([&'a str; 2], u64)>,
    ) {
        self.head(name, help, "counter");
        let [first, second] = labels;
        for ([one, two], value) in values {
            let labels = format!("{{{first}=\"{one}\",{second}=\"{two}\"}}");
            self.line(name, "", &labels, value);
        }
    }

    /// Durations, in seconds.
    pub fn seconds(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, help, "histogram");
        let (counts, all, sum_us) = histogram.totals();
        for (bound, count) in BOUNDS_US.iter().zip(counts) {
            let label = format!("{{le=\"{}\"}}", seconds(*bound));
            self.line(name, "_bucket", &label, count);
        }
        self.line(name, "_bucket", "{le=\"+Inf\"}", all);
        self.line(name, "_sum", "", seconds(sum_us));
        self.line(name, "_count", "", all);
    }

    /// The page.
    #[must_use]
    pub fn text(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{suffix}{labels} {value}");
    }
}

/// Exact: microseconds as a decimal of seconds.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::default();
        for ms in [1, 2, 60_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let mut page = Page::default();
        page.seconds("a_seconds", "How long.", &histogram);
        let text = page.text();
        for line in [
            "# TYPE a_seconds histogram",
            "a_seconds_bucket{le=\"0.0005\"} 0",
            "a_seconds_bucket{le=\"0.001\"} 1",
            "a_seconds_bucket{le=\"0.005\"} 2",
            "a_seconds_bucket{le=\"30\"} 2",
            "a_seconds_bucket{le=\"+Inf\"} 3",
            "a_seconds_sum 60.003",
            "a_seconds_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
