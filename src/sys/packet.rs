//! Messages with descriptors between processes: sequenced packets over a pair of local sockets.
//!
//! Sources: unix(7) SOCK_SEQPACKET and SCM_RIGHTS, cmsg(3), sendmsg(2), recvmsg(2).

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::errno::{Errno, count};
use super::fd::{check, own};

/// Most descriptors that go with one message.
pub const DESCRIPTORS_MAX: usize = 3;

/// Room for the descriptors of a message and the header before them, with the alignment that it needs.
#[repr(C, align(8))]
struct Ancillary([u8; 64]);

/// What the descriptors of one message take.
const RIGHTS: usize = DESCRIPTORS_MAX * size_of::<RawFd>();

/// Two sockets that are connected to each other. Neither ever blocks, nor is passed to another program.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the array has room for the two numbers that the kernel writes.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    // SAFETY: both are new and nobody else's.
    Ok(unsafe { (own(ends[0])?, own(ends[1])?) })
}

/// Sends a message as a whole or not at all, with copies of up to [`DESCRIPTORS_MAX`] descriptors; more are an error (EINVAL). Fails
/// with EAGAIN while there is no room, with EMSGSIZE when it is longer than the socket's buffer, with EPIPE when nobody is at the other
/// end.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(Errno::INVAL);
    }
    let mut ancillary = Ancillary([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        let length = (descriptors.len() * size_of::<RawFd>()) as libc::c_uint;
        message.msg_control = ancillary.0.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE and CMSG_LEN are arithmetic; the room is aligned and larger than one header and three numbers, so that
        // the first header lies in it, with as many numbers behind it.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(length) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length) as _;
            let numbers = libc::CMSG_DATA(header).cast::<RawFd>();
            for (place, descriptor) in descriptors.iter().enumerate() {
                numbers.add(place).write_unaligned(descriptor.as_raw_fd());
            }
        }
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the message refers to `bytes`, which sendmsg only reads, and to `ancillary`; both outlive the call.
    count(unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) }).map(drop)
}

/// Takes the next message: its length, and the descriptors that came with it, which are not passed to another program. 0 = nobody is at
/// the other end. Fails with EAGAIN when there is none now, and with EMSGSIZE for one that is cut off, which is lost then.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut [Option<OwnedFd>; DESCRIPTORS_MAX],
) -> Result<usize, Errno> {
    *descriptors = [None, None, None];
    let mut ancillary = Ancillary([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.0.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE is arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(RIGHTS as libc::c_uint) } as _;
    // SAFETY: the message refers to `buffer` and `ancillary`, both writable for the lengths given; they outlive the call.
    let length =
        count(unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT) })?;
    // SAFETY: the kernel has filled the headers in `ancillary`, of which `message` tells the length; those macros stay within it.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&message) };
    let mut places = descriptors.iter_mut();
    while !header.is_null() {
        // SAFETY: not null, so that a whole header lies there, and CMSG_LEN(0) of its length come before its data.
        let (rights, length) = unsafe {
            let rights = (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS;
            (rights, ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize))
        };
        if rights {
            for place in 0..length / size_of::<RawFd>() {
                // SAFETY: within the data of the header; the kernel has made the descriptor for us, so that nobody else owns it. One
                // for which there is no place is closed.
                let descriptor = unsafe {
                    let number = libc::CMSG_DATA(header).cast::<RawFd>().add(place).read_unaligned();
                    OwnedFd::from_raw_fd(number)
                };
                if let Some(free) = places.next() {
                    *free = Some(descriptor);
                }
            }
        }
        // SAFETY: as above.
        header = unsafe { libc::CMSG_NXTHDR(&message, header) };
    }
    if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        *descriptors = [None, None, None];
        return Err(Errno::MSGSIZE);
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe::{pipe, read, write};
    use std::os::fd::AsFd;

    const NONE: [Option<OwnedFd>; DESCRIPTORS_MAX] = [None, None, None];

    #[test]
    fn messages_stay_apart_and_bring_descriptors() {
        let (one, other) = pair().unwrap();
        let (out, into) = pipe().unwrap();
        let mut buffer = [0; 64];
        let mut came = NONE;
        assert_eq!(receive(other.as_fd(), &mut buffer, &mut came), Err(Errno::AGAIN));
        send(one.as_fd(), b"first", &[]).unwrap();
        send(one.as_fd(), b"second one", &[into.as_fd(), out.as_fd(), into.as_fd()]).unwrap();
        assert_eq!(receive(other.as_fd(), &mut buffer, &mut came), Ok(5));
        assert!(came.iter().all(Option::is_none));
        assert_eq!(receive(other.as_fd(), &mut buffer, &mut came), Ok(10));
        assert_eq!(&buffer[..10], b"second one");
        write(came[2].as_ref().unwrap().as_fd(), b"through").unwrap();
        assert_eq!(read(came[1].as_ref().unwrap().as_fd(), &mut buffer), Ok(7));
        for copy in came.iter().flatten() {
            // SAFETY: F_GETFD takes and writes nothing.
            assert_eq!(unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
        }
        let many = [into.as_fd(); DESCRIPTORS_MAX + 1];
        assert_eq!(send(one.as_fd(), b"x", &many), Err(Errno::INVAL));
        drop(one);
        // A process that a test beside this one is starting has a copy for a moment.
        let ended = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            receive(other.as_fd(), &mut buffer, &mut came) == Ok(0)
        });
        assert!(ended);
        assert_eq!(send(other.as_fd(), b"x", &[]), Err(Errno::PIPE));
    }

    #[test]
    fn one_that_is_cut_off_is_lost_with_its_descriptors() {
        let (one, other) = pair().unwrap();
        let (out, into) = pipe().unwrap();
        send(one.as_fd(), b"too long", &[into.as_fd()]).unwrap();
        send(one.as_fd(), b"next", &[]).unwrap();
        drop(into);
        let mut came = NONE;
        assert_eq!(receive(other.as_fd(), &mut [0; 4], &mut came), Err(Errno::MSGSIZE));
        assert_eq!(read(out.as_fd(), &mut [0; 4]), Ok(0), "a copy of the end to write to is open");
        assert_eq!(receive(other.as_fd(), &mut [0; 4], &mut came), Ok(4));
    }

    #[test]
    fn what_is_full_says_so_and_what_is_long_goes_through() {
        let (one, other) = pair().unwrap();
        let long = vec![7; crate::limits::ORDER_MAX];
        send(one.as_fd(), &long, &[]).unwrap();
        let sent = (0..1000).take_while(|_| send(one.as_fd(), &long, &[]).is_ok()).count();
        assert_eq!(send(one.as_fd(), &long, &[]), Err(Errno::AGAIN));
        let mut buffer = vec![0; crate::limits::ORDER_MAX];
        for _ in 0..=sent {
            assert_eq!(receive(other.as_fd(), &mut buffer, &mut [None, None, None]), Ok(long.len()));
        }
        assert!(buffer == long && send(one.as_fd(), &long, &[]).is_ok());
    }
}
