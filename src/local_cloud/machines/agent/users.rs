//! Users and groups as `/etc/passwd` and `/etc/group` know them. Read by hand: a static binary must not load the name
//! services of whatever system it stands on.

use std::path::Path;

/// Which users a machine's processes can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identities {
    /// Every one.
    All,
    /// Only the one that started it, who is called root inside.
    Own,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
    /// Groups besides the first.
    pub(super) groups: Vec<u32>,
}

/// Finds a user by name.
pub(super) fn find_user(name: &str) -> Option<User> {
    user_in(&read("/etc/passwd"), &read("/etc/group"), name)
}

/// Finds a group's number by name.
pub(super) fn find_group(name: &str) -> Option<u32> {
    group_in(&read("/etc/group"), name)
}

fn read(path: &str) -> String {
    std::fs::read(Path::new(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn user_in(passwd: &str, groups: &str, name: &str) -> Option<User> {
    let mut user = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [found, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        if *found != name {
            return None;
        }
        Some(User { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: (*home).to_owned(), groups: Vec::new() })
    })?;
    user.groups.push(user.gid);
    for line in groups.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields.as_slice() else { continue };
        if let Ok(gid) = gid.parse()
            && gid != user.gid
            && members.split(',').any(|member| member.trim() == name)
        {
            user.groups.push(gid);
        }
    }
    Some(user)
}

fn group_in(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nweb:x:33:44:Web:/srv/www:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nwww:x:44:\nssl:x:70:db, web\nlogs:x:71:webs\n";

    #[test]
    fn a_user_has_its_home_and_all_its_groups() {
        let web = user_in(PASSWD, GROUP, "web").unwrap();
        assert_eq!((web.uid, web.gid, web.home.as_str()), (33, 44, "/srv/www"));
        assert_eq!(web.groups, [44, 70]);
        assert_eq!(user_in(PASSWD, GROUP, "we"), None);
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        assert_eq!(group_in(GROUP, "ssl"), Some(70));
        assert_eq!(group_in(GROUP, "s"), None);
    }
}
