//! From a socket to its first request: whom a proxy connects for, TLS, and which HTTP is spoken.
//!
//! What comes first is looked at where it lies, and taken only once it is known what it is. So nothing
//! has to be kept for whoever reads next, and a connection that has sent nothing costs nothing here.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::{Connection, Place, is_shut};
use super::limits::Refusal;
use super::listener::ListenerOptions;
use super::proxies::Proxies;
use super::proxy_header::{self, Fault};
use super::socket::Watched;
use super::tls::Tls;

/// What stands between a socket and its requests.
#[derive(Debug, Clone, Default)]
pub struct Entrance {
    /// TLS, where there is any.
    pub tls: Option<Arc<Tls>>,
    /// Whose word counts.
    pub proxies: Arc<Proxies>,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
}

/// A connection that is about to send its first request.
#[derive(Debug)]
pub struct Arrived {
    /// The connection.
    pub connection: Arc<Connection>,
    /// Its socket.
    pub io: Watched,
    /// Whether it speaks HTTP/2.
    pub http2: bool,
}

/// Why a connection gets no further.
#[derive(Debug)]
pub enum Turned {
    /// It broke off, sent something else, or took too long.
    Broken(io::Error),
    /// There is no room for whom the proxy named.
    Refused(Refusal, TcpStream),
}

impl From<io::Error> for Turned {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Takes a connection in.
///
/// # Errors
/// See [`Turned`].
pub async fn arrive(
    stream: TcpStream,
    mut address: IpAddr,
    mut place: Place,
    entrance: &Entrance,
    options: &ListenerOptions,
) -> Result<Arrived, Turned> {
    let Entrance { tls, proxies, http2 } = entrance;
    let head = options.deadlines.head;
    if proxies.protocol && proxies.trusts(address) {
        let source = in_time(head, proxy_header(&stream)).await?;
        if let Some(source) = source {
            if let Err(refusal) = place.count(source) {
                return Err(Turned::Refused(refusal, stream));
            }
            address = source;
        }
    }
    let believed = proxies.trusts(address).then(|| Arc::clone(proxies));
    let connection = Connection::new(stream, address, believed, entrance.tls.is_some(), place);
    let (secured, http2) = match tls {
        Some(tls) => {
            let (secured, http2) = Box::pin(tls.accept(&connection)).await?;
            (Some(secured), http2)
        }
        None => (None, *http2 && begins_http2(&connection.stream, options).await?),
    };
    let io = Watched::new(Arc::clone(&connection), secured, options.deadlines);
    Ok(Arrived { connection, io, http2 })
}

/// What a client that knows that HTTP/2 is spoken sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn begins_http2(stream: &TcpStream, options: &ListenerOptions) -> io::Result<bool> {
    in_time(options.deadlines.head, stream.readable()).await?;
    let judge = |bytes: &[u8]| match PREFACE.strip_prefix(bytes) {
        Some(rest) => rest.is_empty().then_some(true),
        None => Some(false),
    };
    in_time(options.deadlines.head, look::<24, _>(stream, judge)).await
}

/// Takes a PROXY header off; whom it names.
async fn proxy_header(stream: &TcpStream) -> io::Result<Option<IpAddr>> {
    let parsed =
        look::<{ proxy_header::MAX }, _>(stream, |bytes| match proxy_header::parse(bytes) {
            Err(Fault::Incomplete) => None,
            parsed => Some(parsed),
        });
    let Ok(parsed) = parsed.await? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no PROXY header"));
    };
    let mut bytes = [0; proxy_header::MAX];
    let header = bytes.get_mut(..parsed.length).unwrap_or_default();
    let taken = stream.try_io(Interest::READABLE, || {
        recv(stream, header, RecvFlags::empty()).map(|(taken, _)| taken).map_err(Into::into)
    })?;
    if taken == parsed.length {
        Ok(parsed.source)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Looks at the first bytes, `N` at most, without taking them, until enough have come to judge.
async fn look<const N: usize, T>(
    stream: &TcpStream,
    judge: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<T> {
    let look = || {
        let mut bytes = [0; N];
        let (_, seen) = recv(stream, &mut bytes, RecvFlags::PEEK)?;
        match bytes.get(..seen) {
            None | Some([]) => Err(io::ErrorKind::UnexpectedEof.into()),
            // To wait for more is not to be told of what there is.
            Some(bytes) => judge(bytes).ok_or_else(|| io::ErrorKind::WouldBlock.into()),
        }
    };
    let waits = |looked: &io::Result<T>| {
        looked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    loop {
        stream.readable().await?;
        let looked = stream.try_io(Interest::READABLE, look);
        if !waits(&looked) {
            return looked;
        }
        if is_shut(stream) {
            // Something may have come with the end, since.
            let looked = look();
            let ended = waits(&looked);
            return if ended { Err(io::ErrorKind::UnexpectedEof.into()) } else { looked };
        }
    }
}

async fn in_time<T>(time: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(time, what).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "what comes first came too late")),
    }
}
