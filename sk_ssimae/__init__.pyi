from . import datasets as datasets
from . import estimators as estimators
from . import exceptions as exceptions
from . import losses as losses
from . import metrics as metrics
from . import model_selection as model_selection
from . import modules as modules
from . import persistence as persistence
from . import plotting as plotting
from . import testing as testing
from .estimators import *

__version__: str
