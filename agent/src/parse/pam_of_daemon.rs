//! What PAM says in the name of a daemon that asks it: `pam_unix(vsftpd:auth): authentication failure; ... rhost=A  user=U`
//! (Linux-PAM: `modules/pam_unix/support.c`; SSSD: `src/sss_client/pam_sss.c`).

use super::address::{address, word};
use super::{Told, only};
use crate::model::login::Count;

/// A failure that PAM told for one of these PAM services.
pub(super) fn read<'a>(text: &'a str, services: &[&str], rule: &'static str) -> Option<Told<'a>> {
    let (service, told) = text.strip_prefix("pam_")?.split_once('(')?.1.split_once(':')?;
    let details = told.strip_prefix("auth): authentication failure; ")?;
    if !services.contains(&service) {
        return None;
    }
    // Both names are the client's and stand on either side of the address: where one makes a second, neither is believed.
    let source = only(details, "rhost=").and_then(|rest| address(word(rest)));
    let user =
        details.rsplit_once(" user=").or_else(|| details.split_once(" ruser=")).map(|(_, user)| word(user));
    Some(Told { count: Count::Pam(1), ..Told::failure(rule, source) }.of(user))
}
