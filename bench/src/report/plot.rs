//! Line charts as SVG.

use std::fmt::Write as _;

use super::table::number;

/// A chart of lines.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) scale: Scale,
}

#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// Starts at zero.
    Linear,
    Log,
    /// For percentiles: the same distance from 90 to 99 as from 99 to 99.9.
    Nines,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Nines => -(1.0 - value / 100.0).log10(),
        }
    }

    /// Values for marks, up to the first that is at least `max`.
    fn ticks(self, min: f64, max: f64) -> Vec<f64> {
        match self {
            Scale::Linear => {
                let size = 10_f64.powf((max / 5.0).log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * size).into_iter();
                let step = step.clone().find(|step| max / step <= 6.0).unwrap_or(max);
                (0..=(max / step).ceil() as usize).map(|count| count as f64 * step).collect()
            }
            Scale::Log => {
                let decades = min.log10().floor() as i32..=max.log10().ceil() as i32;
                let all: Vec<f64> = decades
                    .flat_map(|decade| [1.0, 2.0, 5.0].map(|times| times * 10_f64.powi(decade)))
                    .collect();
                let first = all.iter().rposition(|tick| *tick <= min).unwrap_or(0);
                let last = all.iter().position(|tick| *tick >= max * 0.999).unwrap_or(all.len() - 1);
                all[first..=last].to_vec()
            }
            Scale::Nines => vec![0.0, 50.0, 90.0, 99.0, 99.9, 99.99],
        }
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 52.0;

/// An axis with its values.
struct Ruler {
    scale: Scale,
    ticks: Vec<f64>,
    start: f64,
    end: f64,
}

impl Ruler {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (min, max) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(min, max), v| (min.min(v), max.max(v)));
        Ruler { scale, ticks: scale.ticks(min, max), start, end }
    }

    fn at(&self, value: f64) -> f64 {
        let place = |value: Option<&f64>| self.scale.place(value.copied().unwrap_or_default());
        let (first, last) = (place(self.ticks.first()), place(self.ticks.last()));
        let part = (self.scale.place(value) - first) / (last - first);
        self.start + part * (self.end - self.start)
    }
}

impl Chart {
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Ruler::new(self.x.scale, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Ruler::new(self.y.scale, points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#333\">\n\
             <title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\" font-weight=\"600\">{0}</text>\n",
            self.title
        );
        self.grid(&mut svg, &x, &y).and_then(|()| self.draw(&mut svg, &x, &y)).unwrap_or_default();
        svg + "</svg>\n"
    }

    fn grid(&self, svg: &mut String, x: &Ruler, y: &Ruler) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &y.ticks {
            let (at, text) = (y.at(*tick), label(*tick));
            writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>")?;
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 8.0,
                at + 4.0
            )?;
        }
        for tick in &x.ticks {
            let (at, text) = (x.at(*tick), label(*tick));
            writeln!(svg, "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#eee\"/>")?;
            writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                bottom + 18.0
            )?;
        }
        let (middle, half) = ((LEFT + right) / 2.0, (TOP + bottom) / 2.0);
        writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 12.0,
            self.x.label
        )?;
        let turned = format!("text-anchor=\"middle\" transform=\"rotate(-90 16 {half})\"");
        writeln!(svg, "<text x=\"16\" y=\"{half}\" {turned}>{}</text>", self.y.label)
    }

    fn draw(&self, svg: &mut String, x: &Ruler, y: &Ruler) -> std::fmt::Result {
        for (index, Line { name, colour, points }) in self.lines.iter().enumerate() {
            let places: Vec<String> =
                points.iter().map(|point| format!("{:.1},{:.1}", x.at(point.0), y.at(point.1))).collect();
            let joined = places.join(" ");
            writeln!(
                svg,
                "<polyline points=\"{joined}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            )?;
            for place in &places {
                let (cx, cy) = place.split_once(',').unwrap_or_default();
                writeln!(svg, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"/>")?;
            }
            let at = LEFT + index as f64 * 150.0;
            writeln!(svg, "<rect x=\"{at}\" y=\"36\" width=\"18\" height=\"4\" fill=\"{colour}\"/>")?;
            writeln!(svg, "<text x=\"{}\" y=\"42\">{name}</text>", at + 24.0)?;
        }
        Ok(())
    }
}

fn label(tick: f64) -> String {
    // Round numbers without decimals.
    if tick < 1000.0 { format!("{}", (tick * 1000.0).round() / 1000.0) } else { number(tick) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(Scale::Linear.ticks(0.0, 230.0), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]);
        assert_eq!(Scale::Log.ticks(3.0, 40.0), [2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(
            Scale::Log.ticks(1000.0, 40_000.0),
            [1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0, 50_000.0]
        );
    }
}
