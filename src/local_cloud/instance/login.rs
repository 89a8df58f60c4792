//! Who may log in: passwords are checked and forgotten, since no machine asks for one; key pairs are kept by name.

use crate::local_cloud::call::Call;
use crate::local_cloud::wire::fault::Fault;

/// Holds the password of a call against the rules.
pub(crate) fn check(call: &Call) -> Result<(), Fault> {
    let Some(password) = call.params.text("Password") else { return Ok(()) };
    let special = |c: char| "()`~!@#$%^&*_-+=|{}[]:;'<>,.?/\\".contains(c);
    let classes: [&dyn Fn(char) -> bool; 4] = [&|c| c.is_ascii_lowercase(), &|c| c.is_ascii_uppercase(), &|c| c.is_ascii_digit(), &special];
    let known = password.chars().all(|c| classes.iter().any(|class| class(c)));
    let used = classes.iter().filter(|class| password.chars().any(class)).count();
    if !(8..=30).contains(&password.len()) || !known || used < 3 {
        return Err(Fault::bad("InvalidPassword.Malformed", "The specified parameter \"Password\" is not valid."));
    }
    Ok(())
}

/// The name of a RAM role as a call gives it. Whether there is such a role is for RAM to say, which is not here.
pub(crate) fn role(text: &str) -> Result<(), Fault> {
    let fits = text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'));
    if fits { Ok(()) } else { Err(Fault::missing("InvalidRamRole.NotFound", "The specified RamRoleName does not exist.")) }
}
