//! Mistakes in the text of a value.

use std::fs;

use super::{error, expect, fixture, one_warning, warnings};
use crate::directory::Directory;

#[test]
fn a_path_with_a_tilde_says_that_only_shells_expand_it() {
    let directory = Directory::new();
    let file = directory.file("p.toml", "data_dir = '~/data'");
    let home = [("HOME", "/home/eve")];
    for (args, env, words) in [
        (
            &["--config", &*file][..],
            &home[..],
            &["'~/data' for 'data_dir (", "write the whole path, as in /home/eve/data"][..],
        ),
        (&["--data_dir=~/x"], &home, &["'~/x' for '--data_dir <DIR>'", "as in /home/eve/x"]),
        (&["config", "check", "--static_dir=~"], &home, &["only shells expand ~"]),
        (&["keys", "add", "--jwt_secret_file=~/s"], &home, &["'--jwt_secret_file': only shells expand ~"]),
        (&["--config=~/p.toml"], &home, &["'--config': only shells expand ~", "/home/eve/p.toml"]),
        (&[], &[("PEERBROKER_SSLKEY", "~/lan.key")], &["for 'PEERBROKER_SSLKEY': only shells", "/lan.key"]),
    ] {
        expect(&error(args, env, 2), words);
    }
    // A directory of that name is named by another path.
    let data_dir = directory.arg("~/data");
    fs::create_dir(directory.at("~")).unwrap();
    assert_eq!(warnings(&["--data_dir", &data_dir], &[]), [""; 0]);
}
