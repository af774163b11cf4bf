//! Writes rows to the screen.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use arrow_schema::Schema;
use parking_lot::Mutex;
use riverhook_config::{MapReader, Reading};

use super::{StdoutSettings, Style, screen::Screen};
use crate::{
    batch::{Batch, Epoch},
    error::Error,
    format::{Encoded, Encoder, Format, refuse_format},
    registry::Setup,
    sink::{Guarantee, Progress, Sink, WriteContext, Writer},
};

/// Standard output as a sink.
pub struct StdoutSink {
    settings: StdoutSettings,
    screen: Arc<Mutex<Screen>>,
}

impl StdoutSink {
    /// A sink of this name that writes to standard output.
    pub fn new(name: &str, settings: StdoutSettings) -> Self {
        Self::to(name, settings, Box::new(io::stdout()))
    }

    /// A sink that writes somewhere else.
    pub fn to(name: &str, settings: StdoutSettings, out: Box<dyn Write + Send>) -> Self {
        let screen = Arc::new(Mutex::new(Screen::new(name, settings.rows as usize, out)));
        Self { settings, screen }
    }

    /// From the node's settings.
    pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Sink>> {
        let why = "`stdout` shows rows in a `style`, table or json";
        let refused = refuse_format(map, cx, why, "use `style: json`");
        let settings = StdoutSettings::read_fields(map, cx)?;
        (!refused).then(|| Box::new(Self::new(&setup.node, settings)) as Box<dyn Sink>)
    }
}

impl Sink for StdoutSink {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Display
    }

    fn check(&self, schema: &Schema) -> Result<(), Vec<String>> {
        match self.settings.style {
            Style::Table => Ok(()),
            Style::Json => Format::default().check_write(schema),
        }
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        Ok("standard output".into())
    }

    fn open(&self, context: WriteContext) -> Result<Box<dyn Writer>, Error> {
        context.status.up();
        let screen = Arc::clone(&self.screen);
        Ok(match self.settings.style {
            Style::Table => {
                let every = self.settings.every;
                Box::new(Tables { screen, context, every, last: None, pending: VecDeque::new(), durable: 0 })
            }
            Style::Json => {
                let encoder = Format::default().encoder(Arc::clone(&context.schema))?;
                Box::new(Lines { screen, encoder, encoded: Encoded::default(), text: Vec::new(), barrier: 0 })
            }
        })
    }
}

/// Rows that are shown in tables, together with those of the sink's other writers.
struct Tables {
    screen: Arc<Mutex<Screen>>,
    context: WriteContext,
    every: Duration,
    /// The table that the newest rows are in.
    last: Option<u64>,
    /// Barriers, each with the table that the rows before it are in.
    pending: VecDeque<(Epoch, Option<u64>)>,
    durable: Epoch,
}

impl Writer for Tables {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut screen = self.screen.lock();
        let now = self.context.clock.monotonic();
        screen.show_due(now, self.every)?;
        screen.gather(&batch.records, now);
        if batch.records.num_rows() > 0 {
            self.last = Some(screen.number());
        }
        Ok(())
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.pending.push_back((epoch, self.last));
        Ok(())
    }

    fn poll(&mut self) -> Result<Progress, Error> {
        let mut screen = self.screen.lock();
        screen.show_due(self.context.clock.monotonic(), self.every)?;
        while let Some((epoch, _)) = self.pending.pop_front_if(|(_, table)| *table < Some(screen.number())) {
            self.durable = epoch;
        }
        Ok(Progress { durable: self.durable, rejected: Vec::new() })
    }

    fn close(&mut self) -> Result<Progress, Error> {
        self.screen.lock().show()?;
        self.poll()
    }
}

/// Rows that are lines at once.
struct Lines {
    screen: Arc<Mutex<Screen>>,
    encoder: Box<dyn Encoder>,
    encoded: Encoded,
    text: Vec<u8>,
    barrier: Epoch,
}

impl Writer for Lines {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.encoded.clear();
        self.encoder.encode(&batch.records, &mut self.encoded);
        self.text.clear();
        for row in 0..self.encoded.len() {
            self.text.extend_from_slice(self.encoded.row(row));
            self.text.push(b'\n');
        }
        self.screen.lock().print(&self.text)
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.barrier = epoch;
        Ok(())
    }

    fn poll(&mut self) -> Result<Progress, Error> {
        Ok(Progress { durable: self.barrier, rejected: Vec::new() })
    }

    fn close(&mut self) -> Result<Progress, Error> {
        self.poll()
    }
}
