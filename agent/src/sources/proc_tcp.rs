//! `/proc/net/tcp` and `tcp6` with procfs: the fallback where the kernel has no `inet_diag`, and the way for a root
//! that is not the live one. Not a source itself. The files are read in pieces, so that memory does not grow with
//! the number of sockets.

use std::io::{self, BufRead, BufReader};

use procfs::net::{TcpNetEntries, TcpNetEntry};
use procfs::{ExplicitSystemInfo, FromBufReadSI};

use super::{SourceError, cannot_read};
use crate::host::paths::{Paths, open_regular};

/// Lines parsed at once.
const PIECE: usize = 256;
/// No line of these files is longer than 200 bytes.
const MAX_LINE: usize = 4096;

/// Shows every socket of both files. Returns how many lines were damaged; they are passed over.
pub(super) fn each_socket(paths: &Paths, mut show: impl FnMut(&TcpNetEntry)) -> Result<usize, SourceError> {
    let mut damaged = 0;
    for name in ["tcp", "tcp6"] {
        let path = paths.proc_net(name);
        match open_regular(&path) {
            Ok(file) => {
                let table = read_table(BufReader::new(file), &mut show);
                damaged += table.map_err(|error| cannot_read(&path, &error))?;
            }

            // No IPv6 in this kernel.
            Err(error) if name == "tcp6" && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_read(&path, &error)),
        }
    }
    Ok(damaged)
}

/// Reads one file's text; returns how many lines were damaged.
pub(super) fn read_table(mut reader: impl BufRead, show: &mut impl FnMut(&TcpNetEntry)) -> io::Result<usize> {
    let mut damaged = 0;
    // The parser skips one line, the header: of the file in the first piece, of our own making in the others.
    let mut piece = Vec::new();
    loop {
        let mut lines = 0;
        while lines < PIECE && read_line(&mut reader, &mut piece)? {
            lines += 1;
        }
        if lines == 0 {
            return Ok(damaged);
        }
        if let Ok(entries) = parse(&piece) {
            entries.0.iter().for_each(&mut *show);
        } else {
            for line in piece.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty()) {
                match parse(&[b"\n", line].concat()) {
                    Ok(entries) => entries.0.iter().for_each(&mut *show),
                    Err(_) => damaged += 1,
                }
            }
        }
        piece.clear();
        piece.push(b'\n');
    }
}

/// Appends one line, cut at [`MAX_LINE`]; false at the end.
fn read_line(reader: &mut impl BufRead, piece: &mut Vec<u8>) -> io::Result<bool> {
    let before = piece.len();
    let mut limited = io::Read::take(&mut *reader, MAX_LINE as u64);
    if limited.read_until(b'\n', piece)? == 0 {
        return Ok(false);
    }
    if piece.last() != Some(&b'\n') && piece.len() - before == MAX_LINE {
        reader.skip_until(b'\n')?;
        piece.push(b'\n');
    }
    Ok(true)
}

fn parse(text: &[u8]) -> procfs::ProcResult<TcpNetEntries> {
    // Only the byte order matters to this file.
    let system = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 100,
        page_size: 4096,
        is_little_endian: cfg!(target_endian = "little"),
    };
    TcpNetEntries::from_buf_read(text, &system)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn row(port: u16) -> String {
        format!(
            "   0: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0\n"
        )
    }

    fn ports(text: &[u8]) -> (Vec<u16>, usize) {
        let mut ports = Vec::new();
        let damaged = read_table(text, &mut |entry| ports.push(entry.local_address.port())).unwrap();
        (ports, damaged)
    }

    #[test]
    fn pieces_join_without_loss() {
        for rows in [0, 1, 255, 256, 257, 1000] {
            let text = HEADER.to_owned() + &(0..rows).map(row).collect::<String>();
            assert_eq!(ports(text.as_bytes()), ((0..rows).collect(), 0));
        }
    }

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let text = format!("{HEADER}{}   1: rubbish\n{}{}\n{}", row(1), row(2), "x".repeat(10_000), row(3));
        assert_eq!(ports(text.as_bytes()), (vec![1, 2, 3], 2));
    }

    proptest! {
        #[test]
        fn hostile_text_does_no_harm(junk in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..150, with: u8) {
            let mut text = (HEADER.to_owned() + &row(80)).into_bytes();
            text[at + 50] = with;
            ports(&text);
            text.extend(junk);
            ports(&text);
        }
    }
}
