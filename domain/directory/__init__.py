"""People and groups as an identity provider sees and changes them: SCIM (RFC 7643 and 7644) without its HTTP.

The provider sees everybody on the team but those whom it removed and those whose data was erased. It writes through
`domain.administration`, whose rules, audit entries and events are the same whoever asks. What it may name in a filter
is listed beside each query (`users.USERS`, `groups.GROUPS`); nothing of a filter's text ever reaches a statement but as
a parameter.

- A person has one role: without one of the roles that the provider names, the built-in `User`.
- A person is in one group at most: who is added to a second one moves.
- A person whom the provider removes is deactivated and gone for it; their history stays. Made again, by the same user
  name, external id or email address, the same person comes back, as new: with the role that is said then, in no group.
- A group's place in the tree is Sideline's own: the provider neither sees nor changes it.
"""
