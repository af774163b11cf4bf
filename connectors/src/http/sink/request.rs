//! Rows to requests, ready to be sent.

use std::{ops::Range, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use xxhash_rust::xxh3::Xxh3;

use super::{HttpSink, guard};
use crate::{
    batch::{Batch, RowFailure},
    error::Error,
    format::{Encoded, Encoder},
    http::Send,
    position::Position,
    sink::WriteContext,
    template::Escape,
};

/// A batch whose rows are encoded.
pub(super) struct Rows {
    pub(super) batch: Batch,
    encoded: Encoded,
}

/// Some rows on their way. Cheap to clone.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) rows: Arc<Rows>,
    pub(super) range: Range<usize>,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
}

impl Job {
    /// What it weighs: its body, and about as much for all around it.
    pub(super) fn bytes(&self) -> usize {
        512 + self.range.clone().map(|row| self.rows.encoded.row(row).len()).sum::<usize>()
    }

    /// Both halves, if there is more than one row.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let middle = self.range.start + self.range.len() / 2;
        let half = |range| Self { range, ..self.clone() };
        (self.range.len() > 1).then(|| [half(self.range.start..middle), half(middle..self.range.end)])
    }
}

/// Makes requests of batches.
pub(super) struct Requests {
    sink: Arc<HttpSink>,
    encoder: Box<dyn Encoder>,
    /// The line that CSV begins with.
    header: Option<Vec<u8>>,
    /// What all requests have.
    headers: HeaderMap,
    /// What idempotency keys begin with.
    seed: Xxh3,
}

impl Requests {
    pub(super) fn new(sink: Arc<HttpSink>, context: &WriteContext) -> Result<Self, Error> {
        let encoder = sink.format.encoder(Arc::clone(&context.schema))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(sink.content_type()));
        if let Some(token) = &sink.settings.token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| Error::config("the `token` has characters that no header can have"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut seed = Xxh3::new();
        for part in [&context.pipeline, &context.sink] {
            seed.update(&(part.len() as u64).to_le_bytes());
            seed.update(part.as_bytes());
        }
        Ok(Self { header: encoder.header(), sink, encoder, headers, seed })
    }

    /// The requests for a batch, in order, and the rows of it that there can be none for.
    pub(super) fn of(&mut self, batch: &Batch) -> Result<(Vec<Job>, Vec<RowFailure>), Error> {
        let mut whole = Encoded::default();
        self.encoder.encode(&batch.records, &mut whole);
        let (encoded, whole) = match &self.sink.settings.body {
            None => (whole, None),
            Some(body) => {
                let mut encoded = Encoded::default();
                let mut body = body.bind(&batch.records)?;
                for row in 0..batch.records.num_rows() {
                    body.render(row, self.sink.body_escape, &mut encoded.bytes);
                    encoded.ends.push(encoded.bytes.len());
                }
                (encoded, Some(whole))
            }
        };
        let rows = Arc::new(Rows { batch: batch.clone(), encoded });
        match self.sink.settings.send {
            Send::Record => self.singles(&rows, whole.as_ref().unwrap_or(&rows.encoded)),
            Send::Array | Send::Lines => Ok((self.groups(&rows)?, Vec::new())),
        }
    }

    /// One row a request. `whole` has the rows with all their columns, also where bodies have but some.
    fn singles(&self, rows: &Arc<Rows>, whole: &Encoded) -> Result<(Vec<Job>, Vec<RowFailure>), Error> {
        let (settings, batch) = (&self.sink.settings, &rows.batch);
        let mut url = settings.url.bind(&batch.records)?;
        let bound = settings.headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("names were checked with the settings");
            Ok((name, value.bind(&batch.records)?))
        });
        let mut headers = bound.collect::<Result<Vec<_>, Error>>()?;
        let (mut jobs, mut failures) = (Vec::with_capacity(batch.records.num_rows()), Vec::new());
        let mut ordinals = Ordinals::default();
        for row in 0..batch.records.num_rows() {
            let key = ordinals.of(batch, row).map(|place| self.key(batch, place, whole.row(row)));
            let number = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
            let url = match self.url(&url.text(row, Escape::Url)) {
                Ok(url) => url,
                Err(message) => {
                    failures.push(RowFailure { row: number, code: "sink.http.url", message: message.into() });
                    continue;
                }
            };
            let mut own = self.headers.clone();
            if let Some(key) = key {
                own.insert("idempotency-key", key);
            }
            for (name, value) in &mut headers {
                let value = value.text(row, Escape::Header);
                let value = HeaderValue::try_from(value).expect("control characters are escaped");
                own.insert(name.clone(), value);
            }
            jobs.push(Job { rows: Arc::clone(rows), range: row..row + 1, url, headers: own });
        }
        Ok((jobs, failures))
    }

    /// Several rows a request: URL and headers are the same for all, which was checked with the settings.
    fn groups(&self, rows: &Arc<Rows>) -> Result<Vec<Job>, Error> {
        let settings = &self.sink.settings;
        let text = settings.url.constant().expect("it was checked with the settings");
        let url = self.url(text).map_err(Error::config)?;
        let mut headers = self.headers.clone();
        for (name, value) in settings.headers.iter() {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("names were checked with the settings");
            let value = HeaderValue::try_from(value.constant().expect("it was checked with the settings"));
            headers.insert(name, value.map_err(|_| Error::config("a header has characters that none can have"))?);
        }
        let (most_rows, most_bytes) = (settings.max_rows as usize, settings.max_bytes.as_usize());
        let mut jobs = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for row in 0..rows.encoded.len() {
            let length = rows.encoded.row(row).len() + 1;
            if row > start && (row - start >= most_rows || bytes + length > most_bytes) {
                jobs.push(start..row);
                (start, bytes) = (row, 0);
            }
            bytes += length;
        }
        if start < rows.encoded.len() {
            jobs.push(start..rows.encoded.len());
        }
        let job = |range| Job { rows: Arc::clone(rows), range, url: url.clone(), headers: headers.clone() };
        Ok(jobs.into_iter().map(job).collect())
    }

    /// The URL, if it is one that a row may have made.
    fn url(&self, text: &str) -> Result<Url, &'static str> {
        // No escape keeps these from being steps up and down a path.
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').any(|part| part == "." || part == "..") {
            return Err("a value in the URL's path is `.` or `..`");
        }
        let url = Url::parse(text).map_err(|_| "the URL is none with this row's values")?;
        if !self.sink.settings.allow_link_local {
            guard::check(&url).map_err(|_| "the URL's address is link-local or a cloud's metadata service")?;
        }
        Ok(url)
    }

    /// The same for the same row in every run. Where it came from is not enough to tell it from others: a file that was
    /// rotated or written anew has other records at the same places.
    fn key(&self, batch: &Batch, (record, ordinal): (usize, u32), row: &[u8]) -> HeaderValue {
        let Position::Offset(offset) = batch.input.positions[record];
        let mut hash = self.seed.clone();
        hash.update(batch.input.source.as_bytes());
        hash.update(&[0]);
        hash.update(batch.input.partition.as_str().as_bytes());
        hash.update(&[0]);
        hash.update(&offset.to_le_bytes());
        hash.update(&ordinal.to_le_bytes());
        hash.update(row);
        HeaderValue::try_from(format!("{:032x}", hash.digest128())).expect("digits are fine in a header")
    }

    /// A request's body.
    pub(super) fn body(sink: &HttpSink, header: Option<&[u8]>, job: &Job) -> Bytes {
        let rows = job.range.clone().map(|row| job.rows.encoded.row(row));
        let mut body = BytesMut::with_capacity(job.bytes());
        match sink.settings.send {
            Send::Array => {
                body.put_u8(b'[');
                for (place, row) in rows.enumerate() {
                    if place > 0 {
                        body.put_u8(b',');
                    }
                    body.put_slice(row);
                }
                body.put_u8(b']');
            }
            Send::Record | Send::Lines => {
                let lines = sink.settings.send == Send::Lines || header.is_some();
                for line in header.into_iter().chain(rows) {
                    body.put_slice(line);
                    if lines {
                        body.put_u8(b'\n');
                    }
                }
            }
        }
        body.freeze()
    }

    /// See `header`.
    pub(super) fn header(&self) -> Option<Vec<u8>> {
        self.header.clone().filter(|_| self.sink.settings.body.is_none())
    }
}

/// Counts the rows of each record.
#[derive(Default)]
struct Ordinals {
    record: usize,
    rows: u32,
}

impl Ordinals {
    /// The record of a row, and which of its rows it is, if that is known. Rows of a record are neighbours.
    fn of(&mut self, batch: &Batch, row: usize) -> Option<(usize, u32)> {
        let record = batch.rows.record(row)?;
        self.rows = if record == self.record { self.rows + 1 } else { 1 };
        self.record = record;
        Some((record, self.rows - 1))
    }
}
