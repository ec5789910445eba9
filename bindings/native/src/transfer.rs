//! Bodies that do not pass through memory: a download into a writer, an upload from a reader.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use baokit_core::http::{Failure, FailureKind, Sink, Source};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// How much of an upload is in memory at once.
const PIECE: usize = 64 * 1024;

/// Writes the body of an answer, piece by piece.
pub(crate) async fn download(mut response: reqwest::Response, sink: &Sink) -> Result<(), Failure> {
    while let Some(piece) =
        response.chunk().await.map_err(|error| Failure::new(FailureKind::Body, crate::host::innermost(&error)))?
    {
        sink.write(&piece)?;
    }
    Ok(())
}

/// A request's body that is read while it is sent.
pub(crate) struct Upload {
    source: Source,
    left: u64,
}

impl Upload {
    /// From the beginning of the source.
    pub fn new(source: &Source) -> Result<Self, Failure> {
        Ok(Self { source: source.clone(), left: source.rewind()? })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = ReaderFailed;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReaderFailed>>> {
        let mut piece = vec![0; PIECE.min(usize::try_from(self.left).unwrap_or(PIECE))];
        Poll::Ready(match self.source.read(&mut piece) {
            Ok(0) if self.left == 0 => None,
            Ok(0) => {
                let reason = "the reader ended before its announced length";
                Some(Err(ReaderFailed(Failure::new(FailureKind::Caller, reason))))
            }
            Ok(read) => {
                self.left = self.left.saturating_sub(read as u64);
                piece.truncate(read);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(failure) => Some(Err(ReaderFailed(failure))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The caller's reader failed, on its way through the HTTP library.
#[derive(Debug)]
pub(crate) struct ReaderFailed(pub Failure);

impl fmt::Display for ReaderFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of an upload failed")
    }
}

impl Error for ReaderFailed {}
