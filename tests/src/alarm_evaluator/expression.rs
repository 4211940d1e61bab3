//! Metric math, as far as alarms of ours have it: numbers, metrics by id, `+ - * /`, comparisons, `IF` and `FILL`
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>). What has no data, or is divided by
//! zero, is no data point.

use anyhow::{Context, bail, ensure};

/// An expression over one period.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Number(f64),
    Metric(String),
    Operation(&'static str, Box<(Expression, Expression)>),
    If(Box<(Expression, Expression, Expression)>),
    Fill(Box<(Expression, Expression)>),
}

/// By how tightly they bind, loosest first; the longer before those that they begin with.
const OPERATORS: [&[&str]; 3] = [&[">=", "<=", "==", ">", "<"], &["+", "-"], &["*", "/"]];

impl Expression {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut reader = Reader { rest: text };
        let expression = reader.operation(0).with_context(|| text.to_owned())?;
        reader.skip_blanks();
        ensure!(reader.rest.is_empty(), "{text}: {} is not understood", reader.rest);
        Ok(expression)
    }

    /// Its value where metrics have these; `None` if it has none.
    pub(super) fn value(
        &self,
        metric: &impl Fn(&str) -> anyhow::Result<Option<f64>>,
    ) -> anyhow::Result<Option<f64>> {
        Ok(match self {
            Expression::Number(number) => Some(*number),
            Expression::Metric(id) => metric(id)?,
            Expression::Operation(operator, sides) => {
                let (left, right) = (sides.0.value(metric)?, sides.1.value(metric)?);
                left.zip(right).and_then(|(left, right)| apply(operator, left, right))
            }
            Expression::If(parts) => match parts.0.value(metric)? {
                None => None,
                Some(0.0) => parts.2.value(metric)?,
                Some(_) => parts.1.value(metric)?,
            },
            Expression::Fill(parts) => match parts.0.value(metric)? {
                None => parts.1.value(metric)?,
                some => some,
            },
        })
    }
}

fn apply(operator: &str, left: f64, right: f64) -> Option<f64> {
    let truth = |holds: bool| Some(f64::from(u8::from(holds)));
    match operator {
        "+" => Some(left + right),
        "-" => Some(left - right),
        "*" => Some(left * right),
        "/" => (right != 0.0).then(|| left / right),
        ">=" => truth(left >= right),
        "<=" => truth(left <= right),
        ">" => truth(left > right),
        "<" => truth(left < right),
        _ => truth(left.total_cmp(&right).is_eq()),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes this, if it comes next.
    fn takes(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expects(&mut self, token: &str) -> anyhow::Result<()> {
        ensure!(self.takes(token), "no {token} before {}", self.rest);
        Ok(())
    }

    fn operation(&mut self, level: usize) -> anyhow::Result<Expression> {
        let Some(operators) = OPERATORS.get(level) else { return self.term() };
        let mut left = self.operation(level + 1)?;
        while let Some(operator) = operators.iter().find(|operator| self.takes(operator)) {
            let right = self.operation(level + 1)?;
            left = Expression::Operation(operator, Box::new((left, right)));
        }
        Ok(left)
    }

    fn term(&mut self) -> anyhow::Result<Expression> {
        if self.takes("(") {
            let inner = self.operation(0)?;
            self.expects(")")?;
            return Ok(inner);
        }
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let length = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(length).context("no word")?;
        self.rest = rest;
        ensure!(!word.is_empty(), "{rest} is not understood");
        if let Ok(number) = word.parse() {
            return Ok(Expression::Number(number));
        }
        if !self.takes("(") {
            return Ok(Expression::Metric(word.to_owned()));
        }
        let mut arguments = vec![self.operation(0)?];
        while self.takes(",") {
            arguments.push(self.operation(0)?);
        }
        self.expects(")")?;
        let mut arguments = arguments.into_iter();
        let parts = (arguments.next(), arguments.next(), arguments.next(), arguments.next());
        match (word, parts) {
            ("IF", (Some(condition), Some(then), Some(other), None)) => {
                Ok(Expression::If(Box::new((condition, then, other))))
            }
            ("FILL", (Some(metric), Some(with), None, None)) => {
                Ok(Expression::Fill(Box::new((metric, with))))
            }
            _ => bail!("{word} is not known with so many arguments"),
        }
    }
}
