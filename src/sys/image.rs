//! The running program as it lies in memory: where it was loaded, and which build it is.
//!
//! A fault report is an address; with the load base and the build id it becomes a line of source later. Found from the program
//! headers the kernel points at, so nothing is opened and nothing needs a dynamic linker.
//! Sources: getauxval(3), elf(5).

use std::mem::size_of;

#[cfg(target_pointer_width = "32")]
use libc::{Elf32_Ehdr as Ehdr, Elf32_Phdr as Phdr};
#[cfg(target_pointer_width = "64")]
use libc::{Elf64_Ehdr as Ehdr, Elf64_Phdr as Phdr};

/// Longest build id kept, bytes; a longer one is cut. Linkers write 8 (fast), 16 (md5, uuid) or 20 (sha1).
pub const BUILD_ID_MAX: usize = 32;

/// Type of the note that holds the build id; its name is `GNU` (elf(5), section Notes).
const NT_GNU_BUILD_ID: u32 = 3;

/// The running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What is added to the addresses in the file: 0 for a program with fixed addresses, anywhere for a static PIE.
    pub base: usize,
    /// The linker's build id, empty if the program was linked without one.
    pub build_id: heapless::Vec<u8, BUILD_ID_MAX>,
}

/// Looks the running program up. Without program headers from the kernel: base 0 and no build id.
pub fn running() -> Image {
    let headers = program_headers();
    let Some(base) = load_base(headers) else {
        return Image { base: 0, build_id: heapless::Vec::new() };
    };
    let mut build_id = heapless::Vec::new();
    for header in headers.iter().filter(|h| h.p_type == libc::PT_NOTE) {
        let (Ok(address), Ok(length)) = (usize::try_from(header.p_vaddr), usize::try_from(header.p_memsz)) else {
            continue;
        };
        // SAFETY: the kernel mapped the segment of our own program at base + p_vaddr, p_memsz bytes long; notes are read-only
        // data that stays mapped for as long as the program runs.
        let notes = unsafe { std::slice::from_raw_parts(base.wrapping_add(address) as *const u8, length) };
        let align = if header.p_align == 8 { 8 } else { 4 };
        if let Some(id) = build_id_in(notes, align) {
            // `take` keeps within the capacity.
            build_id.extend(id.iter().copied().take(BUILD_ID_MAX));
            break;
        }
    }
    Image { base, build_id }
}

/// Lets go of the program's own pages that nothing writes to: code and constants that were used once, at start. The kernel
/// may drop them at once and reads those that are used again back from the file, or from its cache of it (madvise(2),
/// MADV_DONTNEED on a private file mapping). Does nothing where the program's segments can not be told.
#[inline(always)]
pub fn release_pages() {
    // All of them known before the first is gone: the headers themselves are in one, and one page that is read comes back with
    // its neighbours. For the same reason this stands where it is used.
    for (from, length) in read_only_pages() {
        // SAFETY: the range lies in a read-only segment of our own program, which the kernel mapped from its file; dropped
        // pages come back from there with the same content.
        unsafe { libc::madvise(from as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
}

/// Most segments of a program that are looked at. Linkers write two or three that nothing writes to.
const SEGMENTS_MAX: usize = 4;

/// The whole pages of the segments that nothing writes to, each with its length in bytes.
fn read_only_pages() -> heapless::Vec<(usize, usize), SEGMENTS_MAX> {
    let mut pages = heapless::Vec::new();
    let headers = program_headers();
    let Some(base) = load_base(headers) else { return pages };
    for header in headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W == 0) {
        let (Ok(start), Ok(length)) = (usize::try_from(header.p_vaddr), usize::try_from(header.p_memsz)) else {
            continue;
        };
        // Only whole pages: the first and last may hold something else too.
        let from = base.wrapping_add(start).next_multiple_of(PAGE);
        let to = base.wrapping_add(start).wrapping_add(length) & !(PAGE - 1);
        if from < to {
            let _ = pages.push((from, to - from));
        }
    }
    pages
}

/// The smallest page. Where pages are larger (16 KB on a Raspberry Pi 5) madvise refuses a start inside one, and nothing is lost.
const PAGE: usize = 4096;

fn auxiliary(kind: libc::c_ulong) -> usize {
    // SAFETY: getauxval takes an integer, and answers 0 for what the kernel did not pass.
    usize::try_from(unsafe { libc::getauxval(kind) }).unwrap_or(0)
}

fn program_headers() -> &'static [Phdr] {
    let address = auxiliary(libc::AT_PHDR);
    if address == 0 || auxiliary(libc::AT_PHENT) != size_of::<Phdr>() {
        return &[];
    }
    // SAFETY: the kernel passes address and number of the program's own headers, of the size just compared; they lie in its
    // read-only first segment, which stays mapped.
    unsafe { std::slice::from_raw_parts(address as *const Phdr, auxiliary(libc::AT_PHNUM)) }
}

fn load_base(headers: &[Phdr]) -> Option<usize> {
    base_by_table(headers).or_else(|| base_by_header(headers))
}

/// The table has an entry for itself in most programs.
fn base_by_table(headers: &[Phdr]) -> Option<usize> {
    let own = headers.iter().find(|h| h.p_type == libc::PT_PHDR)?;
    Some(auxiliary(libc::AT_PHDR).wrapping_sub(usize::try_from(own.p_vaddr).ok()?))
}

/// Some linkers leave that entry out of static programs. The table then follows the ELF header, which begins the segment of
/// offset 0; it is looked at only where it lies in the table's own page, which is mapped.
fn base_by_header(headers: &[Phdr]) -> Option<usize> {
    let first = headers.iter().find(|h| h.p_type == libc::PT_LOAD && h.p_offset == 0)?;
    let table = auxiliary(libc::AT_PHDR);
    let start = table.checked_sub(size_of::<Ehdr>())?;
    if table % 4096 < size_of::<Ehdr>() {
        return None;
    }
    // SAFETY: these bytes lie in the same page as the program headers, so that they can be read whatever they are.
    let magic = unsafe { std::ptr::read_unaligned(start as *const [u8; 4]) };
    if magic != *b"\x7fELF" {
        return None;
    }
    Some(start.wrapping_sub(usize::try_from(first.p_vaddr).ok()?))
}

/// The build id among the notes of one segment, whose entries are aligned to `align` bytes.
fn build_id_in(mut notes: &[u8], align: usize) -> Option<&[u8]> {
    let padded = |n: u32| usize::try_from(n).ok()?.checked_next_multiple_of(align);
    loop {
        let (name_size, rest) = word(notes)?;
        let (size, rest) = word(rest)?;
        let (kind, rest) = word(rest)?;
        // In a segment aligned to 8 the name is padded so that name and header together are a multiple of 8.
        let name_end = padded(name_size.checked_add(12)?)?.checked_sub(12)?;
        let name = rest.get(..usize::try_from(name_size).ok()?)?;
        let content = rest.get(name_end..)?;
        let value = content.get(..usize::try_from(size).ok()?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(value);
        }
        notes = content.get(padded(size)?..)?;
    }
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_ne_bytes(*first), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(name: &[u8], kind: u32, value: &[u8], align: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in [name.len() as u32, value.len() as u32, kind] {
            bytes.extend(n.to_ne_bytes());
        }
        bytes.extend(name);
        bytes.resize(bytes.len().next_multiple_of(align), 0);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(align), 0);
        bytes
    }

    #[test]
    fn build_id_among_other_notes() {
        for align in [4, 8] {
            let mut notes = note(b"GNU\0", 5, &[1; 16], align);
            notes.extend(note(b"Longer\0", NT_GNU_BUILD_ID, &[2; 5], align));
            assert_eq!(build_id_in(&notes, align), None);
            notes.extend(note(b"GNU\0", NT_GNU_BUILD_ID, &[7; 20], align));
            assert_eq!(build_id_in(&notes, align), Some(&[7; 20][..]), "{align}");
            // The last note's padding is not always there.
            notes.truncate(notes.len().next_multiple_of(align) - (align - 4));
            assert_eq!(build_id_in(&notes, align).map(<[u8]>::len), Some(20), "{align}");
        }
    }

    proptest! {
        #[test]
        fn any_notes_are_survived(notes: Vec<u8>, wide: bool) {
            let _ = build_id_in(&notes, if wide { 8 } else { 4 });
        }
    }

    /// The kernel's list of mappings says where the file begins.
    #[test]
    fn base_is_where_the_kernel_says() {
        let exe = std::fs::read_link("/proc/self/exe").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|l| l.ends_with(exe.to_str().unwrap())).unwrap();
        let start = usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
        let file = std::fs::read(&exe).unwrap();
        // e_type 2 is a program with fixed addresses, 3 one that is placed.
        let expected = if file[16] == 3 { start } else { 0 };
        assert_eq!(running().base, expected);
        // However the linker helps.
        assert_eq!(base_by_header(program_headers()), Some(expected));
        assert!(base_by_table(program_headers()).is_none_or(|base| base == expected));
    }

    /// The id is in the file too, right after the note's name.
    #[test]
    fn build_id_is_in_the_file() {
        let id = running().build_id;
        let file = std::fs::read("/proc/self/exe").unwrap();
        let marker = [&20u32.to_ne_bytes()[..], &NT_GNU_BUILD_ID.to_ne_bytes(), b"GNU\0"].concat();
        let found = file.windows(marker.len()).position(|w| w == marker);
        match found {
            Some(at) => assert_eq!(id, file[at + marker.len()..][..20]),
            None => {
                println!("SKIPPED: comparing the build id: the linker wrote none");
                assert!(id.is_empty());
            }
        }
    }
}
