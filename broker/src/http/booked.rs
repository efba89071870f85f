//! Bodies that count while they are being written.

use bytes::Bytes;

use crate::exchange::Booked;

/// A body: what it costs is given back once it is written, or never will be.
#[must_use]
pub fn bytes(body: Vec<u8>, booked: Booked) -> Bytes {
    if booked.is_open() {
        Bytes::from_owner(Booking { body, _booked: booked })
    } else {
        body.into()
    }
}

struct Booking {
    body: Vec<u8>,
    _booked: Booked,
}

impl AsRef<[u8]> for Booking {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
