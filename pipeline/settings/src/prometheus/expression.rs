//! An expression of Prometheus as the condition of a rule, or why there is none.
//!
//! What has the same meaning is converted: a comparison of a number with a function over a range, summed up over series
//! where that comes to the same. What would only look the same is refused.

use promql_parser::label::MatchOp;
use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, MatrixSelector, VectorSelector,
};
use std::time::Duration;

/// How far back Prometheus looks for the newest sample of a series.
pub(super) const LOOKBACK: Duration = Duration::from_secs(300);
/// Longest expression read.
const BYTES_MAX: usize = 4 << 10;

/// When a rule is in breach.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub metric: String,
    /// As `where` has them.
    pub matchers: Vec<String>,
    pub stat: String,
    pub compare: String,
    pub threshold: f64,
    pub window: Duration,
    /// Labels it groups by; none where each series is judged by itself.
    pub group_by: Option<Vec<String>>,
    /// Absence for this long is the condition, in place of all between.
    pub absent: bool,
    /// Labels its alert has: of what is absent, those that are asked for.
    pub labels: Vec<(String, String)>,
    /// What is not quite the same.
    pub notes: Vec<String>,
}

/// A function over the samples of series, times a factor.
struct Series {
    selector: VectorSelector,
    stat: String,
    window: Duration,
    factor: f64,
    group_by: Option<Vec<String>>,
    notes: Vec<String>,
}

/// Reads an expression.
pub(super) fn read(text: &str) -> Result<Condition, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("its expression is longer than {BYTES_MAX} bytes"));
    }
    let expression = promql_parser::parser::parse(text)
        .map_err(|error| format!("its expression cannot be read ({})", one_line(&error)))?;
    match bare(&expression) {
        Expr::Binary(binary) => comparison(binary),
        Expr::Call(call) if call.func.name == "absent" => absence(call, LOOKBACK),
        Expr::Call(call) if call.func.name == "absent_over_time" => absence(call, Duration::ZERO),
        other => {
            Err(format!("it compares nothing with a number: {}", one_line(&other.to_string())))
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect()
}

fn bare(mut expression: &Expr) -> &Expr {
    while let Expr::Paren(paren) = expression {
        expression = &paren.expr;
    }
    expression
}

fn comparison(binary: &BinaryExpr) -> Result<Condition, String> {
    let op = binary.op.to_string();
    let flipped = match op.as_str() {
        ">" => "<",
        ">=" => "<=",
        "<" => ">",
        "<=" => ">=",
        "==" | "!=" => op.as_str(),
        "and" | "or" | "unless" => {
            return Err(format!("it joins conditions with {op}: write all: or any: by hand"));
        }
        _ => return Err("it compares nothing".to_owned()),
    };
    if binary.modifier.as_ref().is_some_and(|modifier| modifier.return_bool) {
        return Err("it compares with bool, which always has a value".to_owned());
    }
    let (mut series, compare, limit) = match (number(&binary.lhs), number(&binary.rhs)) {
        (None, Some(limit)) => (series(&binary.lhs)?, op.as_str(), limit),
        (Some(limit), None) => (series(&binary.rhs)?, flipped, limit),
        (Some(_), Some(_)) => return Err("it compares two numbers".to_owned()),
        (None, None) => {
            return Err(
                "it compares series with series: write per: or baseline: by hand".to_owned()
            );
        }
    };
    if !limit.is_finite() {
        return Err("it compares with no finite number".to_owned());
    }
    let (metric, matchers) = selected(&series.selector)?;
    if series.factor != 1.0 {
        series.notes.push(format!(
            "threshold and values are those of Prometheus divided by {}",
            series.factor
        ));
    }
    Ok(Condition {
        metric,
        matchers,
        stat: series.stat,
        compare: compare.to_owned(),
        threshold: limit / series.factor,
        window: series.window,
        group_by: series.group_by,
        absent: false,
        labels: Vec::new(),
        notes: series.notes,
    })
}

fn absence(call: &Call, lookback: Duration) -> Result<Condition, String> {
    let (selector, window) = match call.args.args.first().map(|argument| bare(argument)) {
        Some(Expr::VectorSelector(selector)) => (selector.clone(), lookback),
        Some(Expr::MatrixSelector(matrix)) => (matrix.vs.clone(), matrix.range),
        _ => return Err("absence of something else than series".to_owned()),
    };
    let (metric, matchers) = selected(&selector)?;
    let (stat, compare) = ("last".to_owned(), ">".to_owned());
    let (group_by, notes) = (Some(Vec::new()), Vec::new());
    let asked = selector
        .matchers
        .matchers
        .iter()
        .filter(|it| it.name != "__name__" && it.op == MatchOp::Equal && !it.value.is_empty());
    let labels = asked.map(|it| (it.name.clone(), it.value.clone())).collect();
    Ok(Condition {
        metric,
        matchers,
        stat,
        compare,
        threshold: 0.0,
        window,
        group_by,
        absent: true,
        labels,
        notes,
    })
}

/// A number, worked out.
fn number(expression: &Expr) -> Option<f64> {
    match bare(expression) {
        Expr::NumberLiteral(literal) => Some(literal.val),
        Expr::Unary(unary) => Some(-number(&unary.expr)?),
        Expr::Binary(binary) => {
            let (one, other) = (number(&binary.lhs)?, number(&binary.rhs)?);
            match binary.op.to_string().as_str() {
                "+" => Some(one + other),
                "-" => Some(one - other),
                "*" => Some(one * other),
                "/" => Some(one / other),
                _ => None,
            }
        }
        _ => None,
    }
}

fn series(expression: &Expr) -> Result<Series, String> {
    match bare(expression) {
        Expr::Aggregate(aggregate) => aggregated(aggregate),
        Expr::Binary(binary) => scaled(binary),
        Expr::VectorSelector(selector) => Ok(Series {
            selector: selector.clone(),
            stat: "last".to_owned(),
            window: LOOKBACK,
            factor: 1.0,
            group_by: None,
            notes: Vec::new(),
        }),
        Expr::Call(call) => over_time(call),
        Expr::Subquery(_) => Err("it holds a subquery".to_owned()),
        other => Err(format!("no statistic stands for {}", one_line(&other.to_string()))),
    }
}

/// Series times a number, or divided by one.
fn scaled(binary: &BinaryExpr) -> Result<Series, String> {
    let op = binary.op.to_string();
    let (inner, factor) = match (op.as_str(), number(&binary.lhs), number(&binary.rhs)) {
        ("*", Some(factor), None) => (series(&binary.rhs)?, factor),
        ("*", None, Some(factor)) => (series(&binary.lhs)?, factor),
        ("/", None, Some(divisor)) => (series(&binary.lhs)?, 1.0 / divisor),
        ("/", None, None) => {
            return Err("it divides series by series: write per: by hand".to_owned());
        }
        _ => return Err(format!("it computes with {op}")),
    };
    if !(factor > 0.0 && factor.is_finite()) {
        return Err("it multiplies by something that is not above 0".to_owned());
    }
    Ok(Series { factor: inner.factor * factor, ..inner })
}

fn aggregated(aggregate: &AggregateExpr) -> Result<Series, String> {
    let op = aggregate.op.to_string();
    let mut inner = series(&aggregate.expr)?;
    let fits = match (op.as_str(), inner.stat.as_str()) {
        ("sum", "rate" | "sum" | "count") | ("max", "max") | ("min", "min") => true,
        ("avg", "mean") => {
            let note = "avg of averages: here every sample weighs the same, there every series";
            inner.notes.push(note.to_owned());
            true
        }
        _ => false,
    };
    if !fits || inner.group_by.is_some() {
        return Err(format!(
            "{op} over series of a {} has no statistic that is the same",
            inner.stat
        ));
    }
    inner.group_by = match &aggregate.modifier {
        None => Some(Vec::new()),
        Some(LabelModifier::Include(labels)) => Some(labels.labels.clone()),
        Some(LabelModifier::Exclude(_)) => {
            return Err(
                "it groups without some labels: say by (...) which ones to group by".to_owned()
            );
        }
    };
    Ok(inner)
}

fn over_time(call: &Call) -> Result<Series, String> {
    let name = call.func.name;
    let (mut stat, mut factor) = (String::new(), 1.0);
    let simple = match name {
        "avg_over_time" => "mean",
        "min_over_time" => "min",
        "max_over_time" => "max",
        "sum_over_time" => "sum",
        "count_over_time" => "count",
        "last_over_time" => "last",
        "stddev_over_time" => "stddev",
        "rate" | "increase" => "rate",
        "quantile_over_time" => "",
        "histogram_quantile" => {
            return Err("it reads histograms of buckets: send the samples and use p95".to_owned());
        }
        _ => return Err(format!("no statistic stands for {name}()")),
    };
    stat.push_str(simple);
    let Some(Expr::MatrixSelector(MatrixSelector { vs, range })) =
        call.args.args.last().map(|argument| bare(argument))
    else {
        return Err(format!("{name}() of something else than series over a range"));
    };
    if name == "quantile_over_time" {
        let rank = call.args.args.first().and_then(|rank| number(rank));
        let rank = rank.filter(|rank| *rank > 0.0 && *rank <= 1.0);
        let rank = rank.ok_or("its quantile is not above 0 and at most 1")?;
        stat = format!("p{}", (rank * 100_000.0).round() / 1_000.0);
    }
    if name == "increase" {
        factor = range.as_secs_f64();
    }
    let (selector, window) = (vs.clone(), *range);
    Ok(Series { selector, stat, window, factor, group_by: None, notes: Vec::new() })
}

/// Metric and matchers of a selector.
fn selected(selector: &VectorSelector) -> Result<(String, Vec<String>), String> {
    if selector.offset.is_some() || selector.at.is_some() {
        return Err("it looks at another time (offset or @): write baseline: by hand".to_owned());
    }
    if !selector.matchers.or_matchers.is_empty() {
        return Err("it selects series with or".to_owned());
    }
    let named = || {
        let matchers = selector.matchers.matchers.iter();
        let mut named = matchers.filter(|it| it.name == "__name__" && it.op == MatchOp::Equal);
        named.next().map(|it| it.value.clone())
    };
    let Some(metric) = selector.name.clone().or_else(named) else {
        return Err("it names no metric: say which one, m{...} or {__name__=\"m\"}".to_owned());
    };
    if selector
        .matchers
        .matchers
        .iter()
        .any(|it| it.name == "__name__" && !(it.op == MatchOp::Equal && it.value == metric))
    {
        return Err("it says more of its metric's name than one name".to_owned());
    }
    if matches!(metric.as_str(), "ALERTS" | "ALERTS_FOR_STATE") {
        return Err(format!(
            "it reads {metric}, which nobody writes here: write all: or any: over its metrics"
        ));
    }
    let matcher = |it: &promql_parser::label::Matcher| {
        let value = serde_json::Value::from(it.value.as_str());
        format!("{}{}{value}", it.name, it.op)
    };
    let said = selector.matchers.matchers.iter().filter(|it| it.name != "__name__");
    Ok((metric, said.map(matcher).collect()))
}
