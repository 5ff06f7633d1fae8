// An error whose message is shown to the user as it is.
export class Problem extends Error {
  // `again`: whether the same may succeed when tried again. `busy`: whether that is all that is
  // needed; `wait`: seconds until then, null where unknown.
  constructor(message, { again = false, busy = false, wait = null } = {}) {
    super(message);
    this.name = "Problem";
    this.again = again || busy;
    this.busy = busy;
    this.wait = wait;
  }
}
