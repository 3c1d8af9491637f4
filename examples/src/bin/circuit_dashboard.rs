//! Shows circuits in the terminal: states, rates and the latest events, while four dependencies fail and recover.
//!
//! ```sh
//! cargo run -p networking-examples --features dashboard --bin circuit_dashboard                          # q quits
//! cargo run -p networking-examples --features dashboard --bin circuit_dashboard -- --headless --frames 8 # prints frames
//! ```
//!
//! It needs the feature `dashboard`. Without a terminal it prints frames.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_spi::circuit_breaker::{
    CircuitBreakerConfig, CircuitEvent, CircuitEventKind, CircuitMetrics, HalfOpenPolicy, OpenPolicy, RateThresholds,
    TripPolicy,
};
use networking_spi::prelude::*;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::widgets::{Block, Gauge, List, Paragraph, Row, Table};
use ratatui::{Frame, Terminal};

const TICK: Duration = Duration::from_millis(50);
const CALLS_PER_TICK: usize = 4;
const EVENTS_SHOWN: usize = 8;

/// Shows circuits in the terminal.
#[derive(Debug, Parser)]
#[command(name = "circuit_dashboard")]
struct Arguments {
    /// Prints frames as text instead of drawing on the terminal.
    #[arg(long)]
    headless: bool,

    /// The number of frames to print.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    frames: u16,

    /// The seed of the simulated calls.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut dashboard = Dashboard::new(arguments.seed)?;
    if arguments.headless || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        headless(&mut dashboard, arguments.frames).await
    } else {
        let mut terminal = ratatui::try_init()?;
        let result = interactive(&mut dashboard, &mut terminal).await;
        ratatui::try_restore()?;
        result
    }
}

async fn headless(dashboard: &mut Dashboard, frames: u16) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminal = Terminal::new(TestBackend::new(86, 22))?;
    for frame in 1..=frames {
        // A frame covers 250 ms.
        for _ in 0..5 {
            dashboard.tick().await?;
        }
        terminal.draw(|frame| dashboard.draw(frame))?;
        println!("frame {frame} of {frames}");
        // The test backend quotes every line.
        for line in terminal.backend().to_string().lines() {
            println!("{}", line.trim_matches('"').trim_end());
        }
    }
    Ok(())
}

async fn interactive(
    dashboard: &mut Dashboard,
    terminal: &mut ratatui::DefaultTerminal,
) -> Result<(), Box<dyn std::error::Error>> {
    loop {
        dashboard.tick().await?;
        terminal.draw(|frame| dashboard.draw(frame))?;
        while event::poll(Duration::ZERO)? {
            let Event::Key(key) = event::read()? else { continue };
            let interrupted = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupted || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(());
            }
        }
    }
}

/// A service that fails periodically.
struct Dependency {
    circuit: Arc<dyn Circuit>,
    /// The period in ticks, and the number of ticks at its end in which the service fails.
    period: usize,
    failing: usize,
}

impl Dependency {
    fn fails(&self, tick: usize, rng: &mut fastrand::Rng) -> bool {
        let share = if tick % self.period < self.period - self.failing {
            0.03
        } else {
            0.95
        };
        rng.f64() < share
    }
}

struct Dashboard {
    dependencies: Vec<Dependency>,
    /// The stream of circuit events.
    events: BoxStream<'static, CircuitEvent>,
    latest: VecDeque<String>,
    tick: usize,
    rng: fastrand::Rng,
}

impl Dashboard {
    fn new(seed: u64) -> Result<Self, NetworkError> {
        let config = CircuitBreakerConfig::new()
            .with_trip(TripPolicy::count_window(20, RateThresholds::new(0.5, 10)))
            .with_open(OpenPolicy::exponential(
                Duration::from_millis(200),
                Duration::from_secs(1),
            ))
            .with_half_open(HalfOpenPolicy::new(2, 3));
        let breaker = SlidingWindowCircuitBreaker::builder()
            .default_config(config)
            .seed(seed)
            .build()?;
        let events = breaker.subscribe()?;
        let dependencies = [
            ("inventory", 60, 10),
            ("payments", 30, 12),
            ("search", 200, 0),
            ("shipping", 40, 25),
        ]
        .map(|(name, period, failing)| {
            breaker.circuit(name).map(|circuit| Dependency {
                circuit,
                period,
                failing,
            })
        })
        .into_iter()
        .collect::<Result<_, _>>()?;
        Ok(Self {
            dependencies,
            events,
            latest: VecDeque::new(),
            tick: 0,
            rng: fastrand::Rng::with_seed(seed),
        })
    }

    /// Makes some calls to every dependency, and waits one tick.
    async fn tick(&mut self) -> Result<(), NetworkError> {
        for dependency in &self.dependencies {
            for _ in 0..CALLS_PER_TICK {
                let failed = dependency.fails(self.tick, &mut self.rng);
                let result = dependency
                    .circuit
                    .call(|| async move {
                        if failed {
                            Err(NetworkError::new(ErrorKind::ConnectionRefused, "demo.call", "down"))
                        } else {
                            Ok(())
                        }
                    })
                    .await;
                if let Err(error) = result
                    && !matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::CircuitOpen)
                {
                    return Err(error);
                }
            }
        }
        tokio::time::sleep(TICK).await;
        self.tick += 1;
        while let Some(Some(event)) = self.events.next().now_or_never() {
            self.note(&event);
        }
        Ok(())
    }

    fn note(&mut self, event: &CircuitEvent) {
        let line = match &event.kind {
            CircuitEventKind::StateChanged { from, to, reason } => {
                format!("{:<10} {from} -> {to} ({reason})", event.circuit)
            }
            CircuitEventKind::Lagged { missed } => format!("{missed} events dropped"),
            // Rejections have one event per call. The table shows their number.
            _ => return,
        };
        self.latest.push_front(format!("{:>6} ms  {line}", self.tick * 50));
        self.latest.truncate(EVENTS_SHOWN);
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [title, circuits, rates, events] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(7),
            Constraint::Length(4),
            Constraint::Min(3),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new("Circuits (q quits)".bold()), title);

        let all: Vec<_> = self
            .dependencies
            .iter()
            .map(|dependency| (dependency.circuit.name(), dependency.circuit.metrics()))
            .collect();
        let header = [
            "circuit", "state", "ok", "failed", "rejected", "changes", "open", "retry in",
        ];
        let widths = [12, 10, 8, 8, 9, 8, 9, 9].map(Constraint::Length);
        let table = Table::new(all.iter().map(|(name, metrics)| row(name, metrics)), widths)
            .header(Row::new(header).bold())
            .block(Block::bordered());
        frame.render_widget(table, circuits);

        let areas = Layout::horizontal([Constraint::Fill(1); 4]).split(rates);
        for ((name, metrics), area) in all.iter().zip(areas.iter()) {
            let gauge = Gauge::default()
                .block(Block::bordered().title(format!("{name}: failed")))
                .gauge_style(color(metrics.state))
                .ratio(metrics.window.failure_rate());
            frame.render_widget(gauge, *area);
        }

        let list = List::new(self.latest.iter().map(String::as_str)).block(Block::bordered().title("events"));
        frame.render_widget(list, events);
    }
}

fn row(name: &str, metrics: &CircuitMetrics) -> Row<'static> {
    Row::new([
        name.to_owned(),
        metrics.state.to_string(),
        metrics.successes.to_string(),
        metrics.failures.to_string(),
        metrics.rejected.to_string(),
        metrics.transition_count.to_string(),
        format!("{} ms", metrics.time_in.open.as_millis()),
        metrics
            .retry_after
            .map_or_else(String::new, |left| format!("{} ms", left.as_millis())),
    ])
    .style(color(metrics.state))
}

fn color(state: CircuitState) -> Style {
    Style::new().fg(match state {
        CircuitState::Closed => Color::Green,
        CircuitState::Open => Color::Red,
        CircuitState::HalfOpen => Color::Yellow,
    })
}
