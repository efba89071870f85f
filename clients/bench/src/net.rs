//! Sockets that never block, what waits for them, and a timer.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, read};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, ipproto, recv,
    send, socket_with, sockopt,
};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// The token of the timer.
const TIMER: u64 = u64::MAX;
/// Events that are worked off before anything else, so that publishers are not late for long.
const EVENTS: usize = 64;

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) who: usize,
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// Waits for sockets, and for a moment.
pub(crate) struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
    events: Vec<Event>,
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Poll {
    pub(crate) fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self { epoll, timer, events: Vec::with_capacity(EVENTS) })
    }

    /// Waits for sockets, no longer than so many microseconds.
    pub(crate) fn wait(&mut self, micros: u64, ready: &mut Vec<Ready>) -> Result<(), Errno> {
        // The timer is exact where epoll's own counts in milliseconds.
        let mut timeout = Some(&Timespec { tv_sec: 0, tv_nsec: 0 });
        if micros > 0 {
            let value = Timespec {
                tv_sec: (micros / 1_000_000) as i64,
                tv_nsec: (micros % 1_000_000 * 1_000) as i64,
            };
            let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
            timeout = None;
        }
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for event in self.events.drain(..) {
            let (who, flags) = (event.data.u64(), event.flags);
            if who == TIMER {
                let _ = read(&self.timer, &mut [0; 8]);
                continue;
            }
            let broken = EventFlags::HUP | EventFlags::ERR;
            ready.push(Ready {
                who: who as usize,
                read: flags.intersects(EventFlags::IN | broken),
                write: flags.intersects(EventFlags::OUT | broken),
            });
        }
        Ok(())
    }
}

/// A connection, or the attempt at one.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    pub(crate) connected: bool,
    /// What the socket has not taken yet.
    pub(crate) out: Vec<u8>,
    /// What has come and is not understood without more.
    pub(crate) rest: Vec<u8>,
    waits_to_write: bool,
}

impl Link {
    /// Begins to connect; `source` is the address to come from, if it matters.
    pub(crate) fn open(
        poll: &Poll,
        who: usize,
        to: SocketAddr,
        source: Option<Ipv4Addr>,
    ) -> Result<Self, Errno> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Some(source) = source {
            bind(&socket, &SocketAddrV4::new(source, 0))?;
        }
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let interest = EventFlags::IN | EventFlags::OUT;
        epoll::add(&poll.epoll, &socket, EventData::new_u64(who as u64), interest)?;
        let (out, rest) = (Vec::new(), Vec::new());
        Ok(Self { socket, connected: false, out, rest, waits_to_write: true })
    }

    /// Whether the attempt came to something.
    pub(crate) fn finish(&mut self) -> Result<(), Errno> {
        sockopt::socket_error(&self.socket)??;
        self.connected = true;
        Ok(())
    }

    /// Reads what is there; 0 is the end, `None` that there is nothing.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
        match recv(&self.socket, buffer, RecvFlags::empty()) {
            Ok((_, count)) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes what is to be written, as far as it goes.
    pub(crate) fn flush(&mut self, poll: &Poll, who: usize) -> Result<(), Errno> {
        if !self.connected {
            return Ok(());
        }
        let mut done = 0;
        while done < self.out.len() {
            match send(&self.socket, &self.out[done..], SendFlags::NOSIGNAL) {
                Ok(count) => done += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        self.out.drain(..done);
        let waits = !self.out.is_empty();
        if waits != self.waits_to_write {
            self.waits_to_write = waits;
            let interest = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&poll.epoll, &self.socket, EventData::new_u64(who as u64), interest)?;
        }
        Ok(())
    }
}

/// Lets this process open as many sockets as the system allows it.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
