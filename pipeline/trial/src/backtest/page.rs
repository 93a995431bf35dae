//! A sweep as a page: the table, and charts of it as pictures within the page. It needs nothing else to be shown.

use super::rolled::Approximate;
use super::seen::Seen;
use super::sweep::Sweep;
use super::text::{moment, short};
use stages::number::plain;
use std::fmt::Write as _;

/// Size of a chart, and the room around it.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const BELOW: f64 = 40.0;

/// One line of a chart.
struct Line<'a> {
    name: &'a str,
    colour: &'a str,
    values: Vec<Option<f64>>,
}

/// The page of a sweep over `rule`; where it is an approximation, it says so.
pub fn sweep(rule: &str, sweep: &Sweep, all: &[Seen], approximate: Option<&Approximate>) -> String {
    let (rule, field) = (escaped(rule), escaped(&sweep.field));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{rule}: {field}</title>\n\
         <style>body{{font:15px system-ui,sans-serif;margin:2em;max-width:60em}}td,th{{text-align:right;padding:.2em .8em}}\
         svg text{{font:12px system-ui,sans-serif}}</style>\n<h1>{rule}: what {field} would have done</h1>\n"
    );
    if let Some(seen) = all.first() {
        let _ = writeln!(
            page,
            "<p>Backtest from {} to {}.</p>",
            moment(seen.span.0),
            moment(seen.span.1)
        );
    }
    for line in approximate.iter().flat_map(|one| one.lines()) {
        let _ = writeln!(page, "<p>{}.</p>", escaped(&line));
    }
    let axis = sweep.axis();
    let of = |value: &dyn Fn(&Seen) -> Option<f64>| all.iter().map(value).collect::<Vec<_>>();
    let counts = [
        Line {
            name: "incidents",
            colour: "#c0392b",
            values: of(&|one| Some(one.incidents.len() as f64)),
        },
        Line { name: "pages", colour: "#2471a3", values: of(&|one| Some(one.pages() as f64)) },
        Line {
            name: "rollbacks",
            colour: "#1e8449",
            values: of(&|one| Some(one.rollbacks() as f64)),
        },
    ];
    let detected = of(&|one| one.detected_after().map(|span| span.as_secs_f64()));
    let times = [Line { name: "seconds to detect (median)", colour: "#7d3c98", values: detected }];
    page.push_str(&chart(&axis, &counts, &field));
    page.push_str(&chart(&axis, &times, &field));
    page.push_str("<table><tr>");
    for head in [
        &field,
        "incidents",
        "pages",
        "rollbacks",
        "open",
        "detected in",
        "back in breach",
        "flapping",
    ] {
        let _ = write!(page, "<th>{head}");
    }
    page.push('\n');
    for (one, value) in all.iter().zip(&axis) {
        let (again, flapping) = one.flaps();
        let _ = writeln!(
            page,
            "<tr><td>{value}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{again}<td>{flapping}",
            one.incidents.len(),
            one.pages(),
            one.rollbacks(),
            short(one.open()),
            one.detected_after().map_or_else(|| "-".to_owned(), short),
        );
    }
    page.push_str("</table></html>\n");
    page
}

fn chart(axis: &[f64], lines: &[Line<'_>], field: &str) -> String {
    let (first, last) = (axis.first().copied().unwrap_or(0.0), axis.last().copied().unwrap_or(1.0));
    let values = lines.iter().flat_map(|line| line.values.iter().flatten());
    let highest = values.fold(1.0_f64, |highest, value| highest.max(*value));
    let width = (last - first).max(f64::MIN_POSITIVE);
    let x = |value: f64| LEFT + (value - first) / width * (WIDTH - LEFT - 20.0);
    let y = |value: f64| HEIGHT - BELOW - value / highest * (HEIGHT - BELOW - 20.0);
    let mut svg =
        format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\">\n");
    for part in 0..=4 {
        let value = highest * f64::from(part) / 4.0;
        let (at, shown) = (y(value), plain(value));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{shown}</text>",
            WIDTH - 20.0,
            LEFT - 8.0,
            at + 4.0
        );
        let value = first + width * f64::from(part) / 4.0;
        let (at, shown) = (x(value), plain(value));
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{shown}</text>",
            HEIGHT - BELOW + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{field}</text>",
        WIDTH / 2.0,
        HEIGHT - 4.0
    );
    for (line, number) in lines.iter().zip(0..) {
        let Line { name, colour, values } = line;
        let mut path = String::new();
        let mut pen_down = false;
        for (at, value) in axis.iter().zip(values) {
            if let Some(value) = value {
                let _ = write!(
                    path,
                    "{}{:.1} {:.1}",
                    if pen_down { "L" } else { "M" },
                    x(*at),
                    y(*value)
                );
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"{colour}\"/>",
                    x(*at),
                    y(*value)
                );
            }
            pen_down = value.is_some();
        }
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        let at = LEFT + 10.0 + 120.0 * f64::from(number);
        let _ = writeln!(svg, "<text x=\"{at}\" y=\"14\" fill=\"{colour}\">{name}</text>");
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
