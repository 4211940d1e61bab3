//! Which entries are read: those of services that tell of logins, where the journal itself vouches for the writer.
//!
//! What begins with an underscore journald takes from the kernel, systemd.journal-fields(7): no user can write that.
//! `logger -t sshd` by a user has that user's `_UID`.

/// sshd's programs: one until OpenSSH 9.7, sshd-session since 9.8, sshd-auth since 10.
const SSHD: [&str; 3] = ["sshd", "sshd-session", "sshd-auth"];

/// Programs that run set-user-ID, or of any session's unit, so that only the file tells them: su, sudo, login, and what
/// authenticates for cockpit. With and without a merged /usr.
const PROGRAMS: [&str; 8] = [
    "/usr/bin/su",
    "/bin/su",
    "/usr/bin/sudo",
    "/usr/bin/sudo-rs",
    "/usr/bin/login",
    "/bin/login",
    "/usr/libexec/cockpit-session",
    "/usr/lib/cockpit/cockpit-session",
];

/// Units of the other daemons, as Amazon Linux, RHEL, Debian and Ubuntu name them. A match is exact, so instances are
/// listed; others can be named by configuration.
const UNITS: [&str; 29] = [
    "vsftpd.service",
    "proftpd.service",
    "pure-ftpd.service",
    "pure-ftpd-mysql.service",
    "pure-ftpd-postgresql.service",
    "pure-ftpd-ldap.service",
    "dovecot.service",
    "postfix.service",
    "postfix@-.service",
    "saslauthd.service",
    "mysql.service",
    "mysqld.service",
    "mariadb.service",
    "postgresql.service",
    "cockpit.service",
    "cockpit-wsinstance-http.service",
    "webmin.service",
    "xrdp.service",
    "xrdp-sesman.service",
    "nginx.service",
    "httpd.service",
    "apache2.service",
    "postgresql@13-main.service",
    "postgresql@14-main.service",
    "postgresql@15-main.service",
    "postgresql@16-main.service",
    "postgresql@17-main.service",
    "postgresql@18-main.service",
    "postgresql-16.service",
];

/// The arguments that make journalctl give these entries, and those of further units (`foo` means `foo.service`), of this
/// machine where its id is given: `--merge`, which following across boots needs, gives also what other machines sent here.
///
/// Terms of one field are alternatives, of different fields all must hold, and `+` stands between such groups.
pub fn matches(units: &[String], machine: Option<&str>) -> Vec<String> {
    let mut sshd: Vec<_> = SSHD.iter().map(|name| format!("SYSLOG_IDENTIFIER={name}")).collect();
    sshd.push("_UID=0".into());
    let programs = PROGRAMS.iter().map(|path| format!("_EXE={path}")).collect();
    let further =
        units.iter().filter_map(|unit| whole_name(unit)).filter(|unit| !UNITS.contains(&unit.as_str()));
    let names = UNITS.iter().map(|unit| (*unit).to_string()).chain(further);
    let units = names.map(|unit| format!("_SYSTEMD_UNIT={unit}")).collect();
    let machine = machine.map(|id| format!("_MACHINE_ID={id}"));
    let groups = [sshd, programs, units]
        .map(|group: Vec<String>| -> Vec<String> { group.into_iter().chain(machine.clone()).collect() });
    groups.join(&String::from("+"))
}

/// The same for the entries of these units alone, and what systemd itself says of them.
pub fn matches_of_units(units: &[String], machine: Option<&str>) -> Vec<String> {
    let machine = machine.map(|id| format!("_MACHINE_ID={id}"));
    let names: Vec<String> = units.iter().filter_map(|unit| whole_name(unit)).collect();
    let own = names.iter().map(|unit| format!("_SYSTEMD_UNIT={unit}")).chain(machine.clone());
    let of_systemd =
        names.iter().map(|unit| format!("UNIT={unit}")).chain(["_PID=1".to_owned()]).chain(machine);
    let groups: [Vec<String>; 2] = [own.collect(), of_systemd.collect()];
    groups.join(&String::from("+"))
}

fn whole_name(unit: &str) -> Option<String> {
    let unit = unit.trim();
    let has_kind = [".service", ".scope", ".socket", ".slice", ".mount", ".timer"]
        .iter()
        .any(|kind| unit.ends_with(kind));
    match unit {
        "" => None,
        _ if has_kind => Some(unit.into()),
        _ => Some(format!("{unit}.service")),
    }
}
