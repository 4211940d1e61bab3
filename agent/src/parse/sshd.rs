//! OpenSSH, 6 to 10.

use super::{Message, Told};

pub(super) fn read<'a>(_message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    Err("not read yet")
}
