// SPDX-License-Identifier: GPL-2.0

//! A figure as SVG.

use crate::curves::Figure;
use plotters::prelude::*;
use plotters::series::DashedLineSeries;
use std::error::Error;

const SIZE: (u32, u32) = (900, 600);

/// Throughput against offered load, a line for each number of proxies; dashed is what one CPU can splice if acknowledgements were free.
pub fn svg(figure: &Figure) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    draw(figure, &mut text)?;
    Ok(text)
}

fn draw(figure: &Figure, text: &mut String) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let points = figure.points.iter();
    let most = points.fold(1.0, |most: f64, point| {
        most.max(point.offered).max(point.outcome.throughput)
    }) / 1e6;
    let mut chart = ChartBuilder::on(&area)
        .caption(&figure.title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..most * 1.02, 0.0..most * 1.02)?;
    chart
        .configure_mesh()
        .x_desc("offered load, Mbit/s")
        .y_desc("throughput, Mbit/s")
        .light_line_style(WHITE)
        .label_style(("sans-serif", 14))
        .draw()?;
    let bound = figure
        .points
        .first()
        .map_or(0.0, |point| point.bounds.data / 1e6);
    if bound <= most {
        let line = [(0.0, bound), (most, bound)];
        chart
            .draw_series(DashedLineSeries::new(line, 6, 4, BLACK.mix(0.6).into()))?
            .label(format!("{bound:.0}: one CPU, data alone"))
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.mix(0.6)));
    }
    let count = figure.curves().count().max(1);
    for (index, curve) in figure.curves().enumerate() {
        let Some(proxies) = curve.first().map(|point| point.proxies) else {
            continue;
        };
        let color = HSLColor(0.8 * index as f64 / count as f64, 0.75, 0.42);
        // Fewer proxies are drawn thicker, so that a curve below another one is seen.
        let style = color.stroke_width(1 + (4 * (count - index) / count) as u32);
        let line = curve
            .iter()
            .map(|point| (point.offered / 1e6, point.outcome.throughput / 1e6));
        let noun = if proxies == 1 { "proxy" } else { "proxies" };
        chart
            .draw_series(LineSeries::new(line, style))?
            .label(format!("{proxies} {noun}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()?;
    Ok(())
}
