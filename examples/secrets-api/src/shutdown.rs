//! The end of the service: it begins with a signal, and requests in flight have a limited time.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal as listen};
use tokio::sync::watch;

/// The end, which begins with a signal.
#[derive(Clone)]
pub struct End {
    begun: watch::Receiver<bool>,
    limit: Duration,
}

/// Listens for SIGINT and SIGTERM.
pub fn signal(limit: Duration) -> std::io::Result<End> {
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (begin, begun) = watch::channel(false);
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        tracing::info!("a signal: no more connections are taken");
        let _ = begin.send(true);
        either(&mut interrupt, &mut terminate).await;
        // Who asks twice means it.
        std::process::exit(130);
    });
    Ok(End { begun, limit })
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

impl End {
    /// Ends when the end begins.
    pub fn begins(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut begun = self.begun.clone();
        async move {
            let _ = begun.wait_for(|begun| *begun).await;
        }
    }

    /// How long requests in flight have then.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}
