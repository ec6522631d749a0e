"""SCIM 2.0 at `/scim/v2` (RFC 7643 and 7644): an identity provider looks after people and groups.

`endpoint` finds the handler of a request, `users`, `groups`, `search` and `discovery` are the handlers, `shapes` says
what a body may hold, `documents` what an answer looks like, `patching` applies a PATCH, `errors` tells what went wrong.
The rules are `domain.directory`'s.

What a PUT leaves out stays as it is, and what it gives as null or empty is cleared: attributes that are left out are
"not asserted by the client" (RFC 7644, section 3.5.1), and roles, managers and members may well be looked after in
Sideline. Attributes that Sideline does not keep are passed over, in bodies and in PATCH; a filter that names one is
refused.
"""
