"""The adversary who knows everything about wildgate but its secret: small videos made to be allowed, and how many are.

attacks    what is tried, as data
drafts     a video before it is encoded: which frame shows what
encoding   and its bytes; `tampering` is what no encoder or muxer does on request
rule       which frames the sampler looks at, and what they show
adversary  moves the contraband until the rule sees as little of it as can be
scoring    a real server's verdicts, and what they cost
table      shares and costs, held against the aims
"""
